"""How much of the machine other processes took while something ran, where the system counts it (Linux).

What waits in a loop for a thread that another process keeps from its CPU, as ggml's and OpenMP's threads do, falls to a
tenth of its speed: such a run says nothing about the system that was measured.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

NOTICED = 0.1
"""CPUs that others may take on average: an idle desktop or a shell does not reach it, a compiler does."""


@dataclass(frozen=True)
class Reading:
    """CPU seconds since the start of the machine, by all; and by this process and its ended children; and the time."""

    all_s: float
    own_s: float
    now: float


def read() -> Reading | None:
    """None where the system does not say."""
    try:
        return Reading(busy_seconds(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK")), _own(), time.monotonic())
    except (OSError, ValueError):
        return None


def taken_by_others(before: Reading | None, after: Reading | None) -> float:
    """CPUs that others took on average between two readings; 0 where nothing is known."""
    if before is None or after is None or after.now <= before.now:
        return 0.0
    others = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return max(0.0, others / (after.now - before.now))


def busy_seconds(stat: str, ticks: int) -> float:
    """Of the first line of /proc/stat (proc(5)): everything but idle and iowait, other guests' (steal) included.
    ValueError where it is another file."""
    fields = stat.splitlines()[0].split() if stat else []
    if len(fields) < 9 or fields[0] != "cpu":
        raise ValueError("not the first line of /proc/stat")
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / ticks


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
