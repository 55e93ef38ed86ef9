"""The process that reads inputs: `python worker.py TARGET`, inputs on standard input, an answer a line on the output.

An input that kills this process, or hangs it, is noticed by who started it (`engine.py`). Limits on memory that the
kernel enforces are wider than those that are judged, so that most inputs over a limit end with an answer.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

_ROOM = 2 << 30
"""Address space that an input may take beyond what the process has."""
_TIMES = 3
"""So many times the CPU that an accepted input may take, and the kernel ends the process, whatever it computes."""


def serve(name: str) -> None:
    from fuzzing.registry import find

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    warnings.filterwarnings("error", category=RuntimeWarning)  # arithmetic on numbers that nobody checked
    target = find(name)
    for seed in target.seeds()[:1]:  # imports, and what is kept from the first use
        _judge(target, seed)
    while head := sys.stdin.buffer.read(4):
        (length,) = struct.unpack("<I", head)
        answer = _judge(target, sys.stdin.buffer.read(length))
        answers.write(json.dumps(answer).encode() + b"\n")


def _judge(target: Any, data: bytes) -> dict[str, Any]:
    from honed.errors import HonedError

    folder = Path(tempfile.mkdtemp(prefix="input-"))
    answer: dict[str, Any] = {"outcome": "accepted", "message": ""}
    before = _reset_peak()
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, _TIMES * target.limits.accepted_seconds)
    _limit_memory()
    try:
        target.read(data, folder)
    except HonedError as error:
        answer = {"outcome": "refused", "message": f"{type(error).__name__}: {error}"}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a library is no Exception
        answer = {"outcome": "fault", "message": f"{type(error).__module__}.{type(error).__name__}: {error!s:.300}"}
        answer["where"] = _where(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    answer |= {"seconds": time.process_time() - started, "bytes": _peak_over(before)}
    shutil.rmtree(folder, ignore_errors=True)
    return answer


def _where(error: BaseException) -> str:
    """The innermost lines of ours."""
    trace, lines = error.__traceback__, []
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        lines.append(f"{'/'.join(Path(path).parts[-3:])}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(lines[::-1][:5])


def _limit_memory() -> None:
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        return  # whose shadow memory takes terabytes of address space
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, most))


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    return 0


def _reset_peak() -> int:
    """The kernel's mark of the highest resident memory starts anew; what is resident now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmHWM")


def _peak_over(before: int) -> int:
    return max(0, _status("VmHWM") - before)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent), str(here.parents[1])]
    sys.path.remove(str(here))
    serve(sys.argv[1])
