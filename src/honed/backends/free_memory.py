"""How much memory there is left for a process. Not here: what a model needs of it."""

from __future__ import annotations

from pathlib import Path

_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, or of its control group where that has less."""
    found = _available()
    try:
        most, used = (path.read_text().strip() for path in _CGROUP)
        if most != "max":
            found = min(found, max(int(most) - int(used), 0))
    except (OSError, ValueError):  # no such group
        return found
    return found


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):  # another system
        return 4 << 30
    return 4 << 30
