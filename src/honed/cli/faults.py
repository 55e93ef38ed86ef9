"""Any exception to what the command line says of it, one sentence, and its exit code.

2: what the user gave is not right. 1: this machine cannot do it, or honed is at fault. 130, 143, 129: a signal came.
141: who read standard output has left, of which nothing is said. Not here: what typer finds (`cli/usage.py`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from honed.cli import signals, streams
from honed.errors import HonedError, MachineError, Terminated, plain, quoted, shortened

READER_LEFT = 141
"""The exit code, that of SIGPIPE, where who read standard output has left."""
_MEMORY = (
    "there is not enough memory, or a limit on it is too low (ulimit -v): "
    "use a smaller model, a smaller --context or fewer --threads"
)
# Of errors that name a file, those that the user can mend by naming another.
_GIVEN = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG,
        errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.EINVAL, errno.ENODEV, errno.ENXIO, errno.ESPIPE,
    }
)  # fmt: skip
# What a machine that is short of memory makes libraries say, each in its own words.
_SHORT_OF_MEMORY = (
    "can't start new thread", "cannot allocate memory", "failed to map segment", "resource temporarily unavailable",
    "bad_alloc", "out of memory",
)  # fmt: skip


def explain(error: BaseException) -> tuple[str | None, int]:
    """What is said, None for nothing, and the exit code."""
    for cause in _chain(error):
        # Whatever a library made of it: an interruption is one.
        if isinstance(cause, KeyboardInterrupt | Terminated):
            return signals.said(cause), signals.exit_code(getattr(cause, "number", signals.SIGINT))
    if isinstance(error, HonedError) and (isinstance(error, MachineError) or not is_memory(error)):
        return str(error), error.exit_code
    if is_memory(error):
        return _MEMORY, MachineError.exit_code
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, RecursionError):
        return "what was given is nested too deeply", HonedError.exit_code
    if isinstance(error, UnicodeEncodeError):
        return f"text cannot be written as {error.encoding}; set LANG=C.UTF-8", HonedError.exit_code
    if isinstance(error, ImportError):
        return f"the installation is not complete: {_text(error)}; install honed again", MachineError.exit_code
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return f"{_text(error)}; set HOME or XDG_CACHE_HOME, or give a whole path", HonedError.exit_code
    return (
        f"{type(error).__name__}: {_text(error)} ({_where(error)}): this is a fault of honed, please report it with "
        "the command; HONED_DEBUG=1 shows the traceback"
    ), MachineError.exit_code


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whatever words."""
    for cause in _chain(error):
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM):
            return True
        # The message of our own errors may quote a text of the user.
        if not isinstance(cause, HonedError) and any(words in str(cause).lower() for words in _SHORT_OF_MEMORY):
            return True
    return False


def _of_system(error: OSError) -> tuple[str | None, int]:
    output = streams.output_fault()
    if isinstance(output, BrokenPipeError):
        return None, READER_LEFT
    reason = error.strerror or _text(error)
    if output is not None:
        return f"standard output cannot be written: {output.strerror or output}", MachineError.exit_code
    if isinstance(error, FileNotFoundError) and not _here():
        return "the current directory is no longer there; change to another one", HonedError.exit_code
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else quoted(error.filename)
        return f"{shortened(plain(name), 300)}: {reason}", HonedError.exit_code if error.errno in _GIVEN else 1
    if isinstance(error, BrokenPipeError | ConnectionError | EOFError):
        return f"a process or a connection that was needed has ended: {reason}", MachineError.exit_code
    return f"the system refused to read or write: {reason}", MachineError.exit_code


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__]


def _here() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib asks the same
    except OSError:
        return False
    return True


def _text(error: BaseException) -> str:
    return shortened(plain(str(error)), 240).rstrip(".") or "no message"


def _where(error: BaseException) -> str:
    """Module and line that raised it. Not the file: its path is nobody's business in a report."""
    trace = error.__traceback__
    if trace is None:
        return "nowhere"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
