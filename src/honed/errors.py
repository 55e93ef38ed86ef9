"""The one exception tree. Every error that a user can cause is a `HonedError` and reads as a sentence.

A message names the file, field or parameter, the value found, and what would be right. The command line prints
it without a traceback and exits with `exit_code`; anything that is not a `HonedError` is a fault of ours.

Values and names in a message come from files and command lines that nobody vouches for. So every message is made safe
for a terminal and short here, in `HonedError`, whatever it was put together from; `quoted` shows one value in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

MESSAGE_CHARACTERS = 480
"""Of a message at most; what is over it is left out in the middle, where values are: the remedy stands at the end."""

# Control characters (C0, DEL, C1), those that change the direction of text or separate lines, and halves of surrogate
# pairs, which cannot be printed.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHOWN = 80


def plain(text: str) -> str:
    """A text with everything escaped that a terminal would act upon."""
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def quoted(value: object, limit: int = _SHOWN) -> str:
    """A value from outside as it is shown in a message: its repr, made safe, at most `limit` characters.

    However large the value is, no more of it is looked at than is shown.
    """
    if isinstance(value, str | bytes):
        shown = repr(value[: limit + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * limit:
        return f"a number of about {int(value.bit_length() * 0.30103)} digits"
    else:
        shown = _bounded_repr(value)
    shown = plain(shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def shortened(text: str, limit: int = MESSAGE_CHARACTERS) -> str:
    """A text of at most `limit` characters: of a longer one the beginning and the end."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 5]} ... {text[-end:]}"


class HonedError(Exception):
    """Base of every expected error: what the user gave is not right."""

    exit_code = 2

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(plain(str(message))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments than the message that an exception is copied by.
        return _rebuilt, (type(self), str(self), self.__dict__)


class MachineError(HonedError):
    """What was asked is right and this machine cannot give it: disk, memory, a process that was killed."""

    exit_code = 1


class Terminated(BaseException):
    """SIGTERM or SIGHUP, raised where a command stands, so that context managers and finally blocks clean up.

    No Exception, as KeyboardInterrupt is none: what goes on after an error does not go on after this.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class ParameterError(HonedError):
    """A value given by the caller is out of its range or unknown."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        super().__init__(f"{parameter} = {quoted(value, 120)}: {expected}")
        self.parameter = parameter


class PromptTooLongError(ParameterError):
    """A prompt does not fit the model's context, or the cache."""


class QueueFullError(MachineError):
    """Too many requests wait already. `retry_seconds`: when to ask again, as far as can be said."""

    def __init__(self, waiting: int, retry_seconds: int) -> None:
        super().__init__(f"{waiting} requests are waiting, which is as many as may; try again in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class QueueTimeoutError(MachineError):
    """A request waited for its first step as long as it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the request waited {seconds:.3g} s for its turn, which is as long as it may; try again later"
        )


class SourceError(HonedError):
    """A model name does not lead to files: unknown, missing, or not reachable offline."""


class FormatError(HonedError):
    """A file is malformed or lies about itself."""

    def __init__(self, path: Path | str, field: str, problem: str) -> None:
        super().__init__(f"{path}: {field}: {problem}")
        self.path = Path(path)
        self.field = field


class UnsupportedError(HonedError):
    """The file or request is well formed, but asks for something that is not supported."""


class ArtifactError(HonedError):
    """An artifact cannot be written where it was asked for, or does not match its checksums."""


class PlanError(HonedError):
    """A plan failed verification, or a graph has no lowering: a fault of a model file or of the planner."""

    exit_code = 1


class NativeError(HonedError):
    """The native extension is missing or refused what it was asked."""

    exit_code = 1


class TemplateError(HonedError):
    """A chat template failed, took too long or wrote too much."""


def _rebuilt(kind: type[HonedError], message: str, attributes: dict[str, Any]) -> HonedError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(attributes)
    return error


def _escaped(character: str) -> str:
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if known is not None:
        return known
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _bounded_repr(value: object) -> str:
    import reprlib

    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 60
    shown.maxlist = shown.maxtuple = shown.maxdict = shown.maxset = 6
    shown.maxlevel = 3
    try:
        return shown.repr(value)
    except Exception:  # a value whose own repr fails
        return f"<{type(value).__name__}>"
