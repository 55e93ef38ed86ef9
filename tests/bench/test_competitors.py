"""Processes that keep CPUs busy: there while they are wanted, gone afterwards whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from honed.bench.competitors import allowed_cpus, busy_cpus, check_busy
from honed.errors import ParameterError

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def ends(pid: int) -> bool:
    """Whether the process is gone, or a zombie that nobody waits for, within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not (fields := stat(pid)) or fields[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@linux
def test_each_takes_a_cpu_of_its_own_until_the_end_of_the_block() -> None:
    count = min(2, len(allowed_cpus()))
    with busy_cpus(count) as pids:
        assert [os.sched_getaffinity(pid) for pid in pids] == [{cpu} for cpu in allowed_cpus()[:count]]
        time.sleep(0.3)
        assert all(int(stat(pid)[11]) > 0 for pid in pids), "no time in user mode"
    assert len(pids) == count
    assert not any(stat(pid) for pid in pids)


@linux
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_in_the_block_ends_them(error: type[BaseException]) -> None:
    seen: list[int] = []
    with pytest.raises(error), busy_cpus(1) as pids:
        seen += pids
        raise error
    assert len(seen) == 1
    assert not stat(seen[0])


@linux
def test_they_do_not_outlive_a_killed_parent() -> None:
    code = "import time\nfrom honed.bench.competitors import busy_cpus\n"
    code += "with busy_cpus(1) as pids:\n    print(*pids, flush=True)\n    time.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert stat(pid)[0] == "R"
        parent.send_signal(signal.SIGKILL)
    assert ends(pid)


def test_none_at_all_starts_nothing() -> None:
    with busy_cpus(0) as pids:
        assert pids == []


@pytest.mark.parametrize("count", [-1, len(allowed_cpus()) + 1])
def test_as_many_as_there_are_cpus(count: int) -> None:
    with pytest.raises(ParameterError, match=f"busy = {count}: must be from 0 to {len(allowed_cpus())}, the CPUs"):
        check_busy(count)
    with pytest.raises(ParameterError), busy_cpus(count):
        pass
