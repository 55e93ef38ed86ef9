"""Processes that keep CPUs busy while something else is measured: what another program on the machine takes from it.

Each is an interpreter of its own with the priority of this one, tied to one CPU, that does nothing but loop. They do
not outlive this process either: each ends when the pipe that ties it to here is closed, however that happens.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from honed.errors import HonedError, ParameterError

_LOOP = """
import os, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
threading.Thread(target=end_with_parent, daemon=True).start()
os.write(1, b"!")
while True:
    pass
"""


def allowed_cpus() -> list[int]:
    """Numbers of the CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def check_busy(count: int) -> None:
    """ParameterError where there are not so many CPUs to keep busy."""
    most = len(allowed_cpus())
    if not 0 <= count <= most:
        raise ParameterError("busy", count, f"must be from 0 to {most}, the CPUs that this process may use")


@contextmanager
def busy_cpus(count: int) -> Iterator[Sequence[int]]:
    """Keeps the first `count` of the allowed CPUs busy inside the block, from its beginning on; gives the process ids.

    They are ended on the way out, whatever the way. Errors: ParameterError as `check_busy`, HonedError where a process
    cannot be started.
    """
    check_busy(count)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for cpu in allowed_cpus()[:count]:
            started.append(_start(cpu))
        for process in started:
            assert process.stdout is not None
            if process.stdout.read(1) != b"!":
                raise HonedError(f"a process to keep a CPU busy ended with exit code {process.wait()}")
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
        for process in started:
            with process:  # closes the pipes and waits
                pass


def _start(cpu: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LOOP, str(cpu)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    except OSError as error:
        raise HonedError(f"a process to keep a CPU busy cannot be started: {error.strerror or error}") from error
