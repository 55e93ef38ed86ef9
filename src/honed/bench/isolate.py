"""Calls a function in a fresh interpreter, so that no measurement sees the memory, threads or caches of another.

The child reads one JSON document from stdin and writes one to what was its stdout; everything that libraries print
goes to stderr. A call is named as text ("package.module:function"): this module knows nothing of what it runs.

The interpreter may be another environment's. It gets the package honed and nothing beside it, from the place where
this process has it; of its modules those can be imported that need nothing but what that environment holds.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from honed.errors import HonedError, MachineError

TIMEOUT_S = 1800.0

# What -m does for an interpreter that has honed installed. Putting honed's parent directory on the path of another one
# would put everything there too that is installed beside honed.
_FOREIGN_START = """
import importlib.util, sys
place = sys.argv[1]
spec = importlib.util.spec_from_file_location("honed", place + "/__init__.py", submodule_search_locations=[place])
sys.modules["honed"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["honed"])
from honed.bench.isolate import run_job
run_job()
"""


class WorkerError(MachineError):
    """A measurement process failed. The message ends with what it said last."""


def call_isolated(
    function: str,
    arguments: Mapping[str, Any],
    *,
    interpreter: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Runs `function(arguments, spawned)` in a new process and returns its JSON result.

    interpreter: the Python of another environment; None: the running one.

    `spawned` is the reading of time.monotonic() just before the process was started; the clock is the system's, so the
    child may subtract it. Raises WorkerError where the process fails, dies or takes over `timeout_s`; the child's own
    HonedError comes back as its message.
    """
    job = {"function": function, "arguments": dict(arguments), "spawned": time.monotonic()}
    try:
        done = subprocess.run(
            _command(interpreter),
            input=json.dumps(job).encode(),
            capture_output=True,
            env={**os.environ, **(environment or {})},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"{function}: no result after {timeout_s:g} s") from error
    except OSError as error:
        raise WorkerError(f"{function}: {interpreter} cannot be started: {error.strerror or error}") from error
    if done.returncode != 0:
        raise WorkerError(f"{function}: {_failure(done.returncode, done.stderr.decode(errors='replace'))}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise WorkerError(f"{function}: the process ended without a result") from error
    if "error" in answer:
        raise WorkerError(answer["error"])
    return answer["result"]


def _command(interpreter: str | None) -> list[str]:
    if interpreter is None:
        return [sys.executable, "-m", "honed.bench.isolate"]
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - see peak_memory_bytes
    # -P: the directory that the user happens to be in is not searched for modules.
    return [interpreter, "-P", "-c", _FOREIGN_START, package]


def _failure(code: int, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = " (perhaps out of memory)" if -code == signal.SIGKILL else ""
        return f"the process was killed by {name}{hint}: {last}"
    return f"the process failed with exit code {code}: {last}"


def peak_memory_bytes() -> int:
    """Most memory that this process has held, mapped files included.

    VmHWM of proc(5), not ru_maxrss: the latter is inherited over fork and exec, so a child of a large parent would
    report its parent's memory.
    """
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123 - pathlib is not imported in a process that is timed
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_job() -> None:
    """The child's whole life: one job from stdin, its answer to stdout."""
    channel = os.dup(1)
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    module, _, name = job["function"].partition(":")
    answer: dict[str, Any]
    try:
        answer = {"result": getattr(importlib.import_module(module), name)(job["arguments"], job["spawned"])}
    except HonedError as error:
        answer = {"error": str(error)}
    with os.fdopen(channel, "w") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    run_job()
