"""The child's side of `sandbox.py`, run as a script: gives up what a program does not need, then runs it.

Arguments: the program's file, seconds, bytes of memory, bytes of a file, and 1 if it may run with a network. Status 88:
the network could not be cut; 87: the program failed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import sys
import traceback
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""CLONE_NEWUSER and CLONE_NEWNET of linux/sched.h."""
_PROCESSES = 64


def cut_network() -> bool:
    """Moves this process into a network of its own that has no interface. False where the kernel does not."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False
    # As root without a user namespace of its own, which containers often refuse.
    return bool(unshare(_NEW_USER | _NEW_NETWORK) == 0 or unshare(_NEW_NETWORK) == 0)


def restrict(seconds: float, memory: int, file_size: int) -> None:
    """Limits that the kernel holds this process and its children to."""
    whole = int(seconds) + 1
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, whole),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))
    # The count is of all processes of the user: what runs already must not keep the program from starting at all.
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    processes = Path("/proc")
    running = sum(path.name.isdigit() for path in processes.iterdir()) if processes.is_dir() else 0
    wanted = running + _PROCESSES
    value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NPROC, (value, value))


def main(file: str, seconds: str, memory: str, file_size: str, network: str) -> int:
    if not cut_network() and network != "1":
        return 88
    restrict(float(seconds), int(memory), int(file_size))
    sys.argv = [file]
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        return 0 if end.code in (None, 0) else 87
    except BaseException:
        traceback.print_exc(limit=-3)
        return 87
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stderr.flush()
    # Threads that the program left do not keep the process.
    os._exit(status)
