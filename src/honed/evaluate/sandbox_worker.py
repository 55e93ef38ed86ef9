"""The child's side of `sandbox.py`, run as a script: gives up what a program does not need, then runs it.

Where the kernel gives namespaces, the program is the first process of its own, so that it sees no other one to signal,
and all that it started ends with it. Arguments: the program's file, seconds, bytes of memory, bytes of a file, and 1 if
it may run with a network. Status 89: its time was over; 88: the network could not be cut; 87: the program failed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NETWORK = 0x08000000, 0x10000000, 0x20000000, 0x40000000
"""CLONE_NEWIPC and so on of linux/sched.h."""
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of linux/prctl.h."""
_PROCESSES = 64
_FAILED, _NOT_CUT, _LATE = 87, 88, 89


def isolate() -> tuple[bool, bool]:
    """Moves this process into a network of its own that has no interface, and its children into a table of processes
    of their own. Whether the kernel gave the one, and the other."""
    if not sys.platform.startswith("linux"):
        return False, False
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except (OSError, AttributeError):
        return False, False
    most = _NEW_NETWORK | _NEW_PIDS | _NEW_IPC
    # As root without a user namespace of its own, which containers often refuse.
    for flags in (_NEW_USER | most, most, _NEW_USER | _NEW_NETWORK, _NEW_NETWORK):
        if unshare(flags) == 0:
            return True, bool(flags & _NEW_PIDS)
    return False, False


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


def program(file: str) -> int:
    """Runs it; its status."""
    sys.argv = [file]
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as end:
        return 0 if end.code in (None, 0) else _FAILED
    except BaseException:
        traceback.print_exc(limit=-3)
        return _FAILED
    return 0


def apart(file: str) -> int:
    """Runs it in a child, which is the first process of the new table and ends with this one."""
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        leave(program(file))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        return _LATE
    return status if status >= 0 else _FAILED


def leave(status: int) -> NoReturn:
    """Threads that the program left do not keep the process."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def main(file: str, seconds: str, memory: str, file_size: str, network: str) -> int:
    cut, alone = isolate()
    if not cut and network != "1":
        return _NOT_CUT
    restrict(float(seconds), int(memory), int(file_size))
    return apart(file) if alone else program(file)


if __name__ == "__main__":
    leave(main(*sys.argv[1:]))
