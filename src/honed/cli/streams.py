"""Standard input, output and error as a command finds them: closed, full, without a reader, in any encoding.

Not here: what is printed (`cli/output.py`) and what is said of an error (`cli/faults.py`).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from honed.errors import HonedError, MachineError


class OutputClosedError(MachineError):
    """Standard output was closed before the command began."""


class _Closed(io.TextIOBase):
    """Standard input that was closed: who reads it is told so."""

    def isatty(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> str:
        raise HonedError("standard input is closed, so nothing can be read from it; give it a file or a pipe")

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return self.read()


class _Watched(io.FileIO):
    """Standard output, which keeps the error that it ended with: an OSError itself does not say whose it is."""

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            raise


class _Deaf(io.FileIO):
    """Standard error, on which nothing fails: what is said beside the result never ends a command."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            super().write(data)
        return len(data)


def prepare() -> None:
    """Lets every text be printed, and stands in for what is closed. Standard output closed: OutputClosedError.

    The numbers of closed streams are taken, so that no file that is opened later gets one of them and with it what
    libraries print. What the encoding of the terminal cannot show becomes a question mark.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    # None where a stream is closed, whatever the types say.
    is_closed = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
    if is_closed[2]:
        sys.stderr = _nowhere()
    if is_closed[0]:
        sys.stdin = _Closed()
    if is_closed[1]:
        sys.stdout = _nowhere()
        raise OutputClosedError("standard output is closed; send it to a file, a pipe or /dev/null")
    # Only the streams that the process began with: tests and programs put others in their place.
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _over(_Watched(1, "w", closefd=False), sys.stdout, errors="replace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _over(_Deaf(2, "w", closefd=False), sys.stderr, errors="backslashreplace")
    replace_unprintable()


def _over(raw: io.FileIO, old: io.TextIOWrapper, *, errors: str) -> io.TextIOWrapper:
    """A stream over a file as an old one is, to which nothing has been written yet."""
    return io.TextIOWrapper(
        # Nothing between where Python was asked to put nothing (python -u).
        raw if old.write_through else io.BufferedWriter(raw),
        encoding=old.encoding,
        errors=errors,
        # Unbuffered (PYTHONUNBUFFERED) an old one passes all on at once; over a buffer that takes the end of a line.
        line_buffering=old.line_buffering or old.write_through,
    )


def _nowhere() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")


def replace_unprintable() -> None:
    """What the encoding of standard output cannot show becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def say(text: str) -> None:
    """A text on standard error, if anybody can hear it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def show_notes() -> None:
    """Has each `honed.notes.note` said once, as a line; what else libraries warn of is for their callers, not users."""
    import warnings

    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
        text = str(message)
        if text not in told and any(kind.__name__ == "HonedWarning" for kind in category.__mro__):
            told.add(text)
            say(f"honed: note: {text}\n")

    warnings.showwarning = show
    warnings.simplefilter("always")


def output_fault() -> OSError | None:
    """Why standard output takes nothing more; None if it does. What it took before is written by this."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    except ValueError:  # closed by what ran
        return None
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw.fault if isinstance(raw, _Watched) else None


def abandon() -> None:
    """Points streams that fail at the null device, so that the last flush of the interpreter does not fail again."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)
                stream.flush()
