"""Runs programs that a model wrote, each in a process of its own that can harm little.

No network and no other processes (namespaces of its own on Linux, where the kernel gives them), a directory of its own
that is removed, an empty environment, and limits of the kernel on time, memory, file size and processes. That is no
jail: a program may read what the user may read. Where the network cannot be cut, nothing is run unless the caller
allows it. Not here: what passed tests mean (`metrics/programs.py`), and the child's side (`sandbox_worker.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from honed.errors import MachineError, UnsupportedError

_WORKER = Path(__file__).with_name("sandbox_worker.py")
_PASSED, _NOT_CUT, _LATE = 0, 88, 89
"""Statuses of the worker: all went well, the network could not be cut, the processor time was over."""
_MOST_OUTPUT = 4000


@dataclass(frozen=True)
class Limits:
    """seconds: of wall clock and of processor time. memory_bytes: of address space. file_bytes: of a file that is
    written. network: whether to run even where the network cannot be cut."""

    seconds: float = 10.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    network: bool = False


@dataclass(frozen=True)
class Outcome:
    """passed: it ended by itself without an error. problem: "", time, or the end of what it wrote to stderr."""

    passed: bool
    problem: str = ""


def run_program(source: str, limits: Limits | None = None) -> Outcome:
    """Runs a Python program. UnsupportedError where the network cannot be cut and must be; MachineError where no
    process can be started."""
    limits = limits or Limits()
    if sys.platform == "win32":
        raise UnsupportedError("programs of models are run on Linux and macOS only: there are no limits for them here")
    with tempfile.TemporaryDirectory(prefix="honed-program-") as directory:
        file = Path(directory) / "program.py"
        file.write_text(source, encoding="utf-8", errors="surrogatepass")
        command = [
            *(sys.executable, "-I", "-S", str(_WORKER), str(file)),
            *(str(limits.seconds), str(limits.memory_bytes), str(limits.file_bytes), str(int(limits.network))),
        ]
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={"PATH": os.defpath, "HOME": directory, "TMPDIR": directory, "PYTHONHASHSEED": "0"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise MachineError(f"a program cannot be started: {error.strerror or error}") from error
            problem: Literal["", "time"] = ""
            try:
                process.wait(limits.seconds)
            except subprocess.TimeoutExpired:
                problem = "time"
            finally:
                _end(process)
            if process.returncode == _NOT_CUT:
                raise UnsupportedError(
                    "the network of a program cannot be cut here (no user namespaces), so none is run; allow it with "
                    "network: true among the options of the task, in a container without a network"
                )
            if process.returncode in (_LATE, -signal.SIGXCPU, -signal.SIGKILL):
                problem = "time"
            said.seek(max(0, said.seek(0, os.SEEK_END) - _MOST_OUTPUT))
            text = said.read().decode("utf-8", "replace").strip()
    if process.returncode == _PASSED and not problem:
        return Outcome(True)
    return Outcome(False, problem or text or f"ended with status {process.returncode}")


def run_programs(sources: Sequence[str], limits: Limits | None = None) -> list[Outcome]:
    """Several, as many at once as there are processors, in their order."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        return list(pool.map(lambda source: run_program(source, limits), sources))


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and whatever it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
