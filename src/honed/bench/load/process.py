"""What a process holds, as the system counts it: memory, descriptors, threads. Linux only (/proc, see proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from honed.errors import MachineError


@dataclass(frozen=True)
class Holdings:
    """resident: bytes in memory. descriptors: open files and sockets. threads: of the process."""

    resident: int
    descriptors: int
    threads: int


def holdings(pid: int) -> Holdings:
    """Of a process, now. MachineError where it has ended, or is not ours to look at."""
    place = Path("/proc") / str(pid)
    try:
        pages = int((place / "statm").read_text().split()[1])
        descriptors, threads = (sum(1 for _ in (place / name).iterdir()) for name in ("fd", "task"))
        return Holdings(pages * os.sysconf("SC_PAGE_SIZE"), descriptors, threads)
    except (OSError, ValueError, IndexError) as error:
        raise MachineError(f"process {pid} cannot be watched: {error}") from None
