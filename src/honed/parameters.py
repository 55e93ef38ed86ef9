"""Checks of what the caller of a function gives: one for each kind of value, and one for names that are not known.

Each returns the value in the type that was asked for and raises ParameterError with the parameter's name. Numbers of
numpy are numbers; a bool is none, and a text is none. Not here: what values mean together, which their owner knows.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from honed.errors import ParameterError

P = ParamSpec("P")
R = TypeVar("R")

_BOOLS = frozenset({"bool", "bool_"})
"""Names of the types of truth values: Python's, and numpy's of either version."""


def whole_number(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """An integer from `least` to `most`, both included."""
    try:
        if type(value).__name__ in _BOOLS or _is_array(value):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # whatever the value's own methods raise
        raise ParameterError(name, value, f"must be a whole number{_range(least, most, ' ')}") from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise ParameterError(name, number, f"must be {_range(least, most)}")
    return number


def real_number(
    name: str,
    value: object,
    least: float | None = None,
    most: float | None = None,
    *,
    over: float | None = None,
    expected: str | None = None,
) -> float:
    """A finite number from `least` to `most`, both included, and over `over`. `expected`: the range in words."""
    words = expected or f"must be a number{_range(least, most, ' ', over)}"
    try:
        if type(value).__name__ in _BOOLS or isinstance(value, str | bytes) or _is_array(value):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except Exception:  # also of 10**400
        raise ParameterError(name, value, words) from None
    if (
        not math.isfinite(number)
        or (least is not None and number < least)
        or (most is not None and number > most)
        or (over is not None and number <= over)
    ):
        raise ParameterError(name, value, words)
    return number


def text(name: str, value: object) -> str:
    """A text that is not empty and holds no NUL."""
    if not isinstance(value, str):
        raise ParameterError(name, value, "must be a text")
    if not value or "\0" in value:
        raise ParameterError(name, value, "must be a text that is not empty and holds no NUL")
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """One text, or several: those that are given as a list. None is none."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes | dict):
        raise ParameterError(name, value, "must be a text or a list of texts")
    found = tuple(value)
    for item in found:
        if not isinstance(item, str):
            raise ParameterError(name, item, "must be a text or a list of texts")
    return found


def location(name: str, value: object) -> Path:
    """A path: a text that is not empty, or a Path."""
    if not isinstance(value, str | os.PathLike):
        raise ParameterError(name, value, "must be a path")
    given = os.fspath(value)
    if not isinstance(given, str) or not given or "\0" in given:
        raise ParameterError(name, value, "must be a path that is not empty and holds no NUL")
    return Path(given)


def choice(name: str, value: object, known: Collection[str]) -> str:
    """One of the known texts."""
    if isinstance(value, str) and value in known:
        return value
    hint = ""
    if isinstance(value, str):
        from honed.parameter_names import closest

        hint = closest(value, known)
    raise ParameterError(name, value, f"{hint}must be one of {', '.join(known)}")


def flag(name: str, value: object) -> bool:
    """True or False."""
    if type(value).__name__ not in _BOOLS:
        raise ParameterError(name, value, "must be True or False")
    return bool(value)


def function(name: str, value: object) -> None:
    """Something that can be called, or None."""
    if value is not None and not callable(value):
        raise ParameterError(name, value, "must be a function or None")


def checks_names(function: Callable[P, R]) -> Callable[P, R]:
    """Answers a keyword that a function does not have with the name that it has here: ParameterError."""
    return takes()(function)


def takes(*kinds: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`checks_names` for a function whose other keywords are those of typed dictionaries (PEP 692: Unpack)."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        own = [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]
        known = [*own, *(name for kind in kinds for name in kind.__annotations__)]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name, value in kwargs.items():
                if name not in known:
                    raise _unknown(name, value, known)
            return function(*args, **kwargs)

        return checked

    return decorate


def checks_fields(cls: type[R]) -> type[R]:
    """`checks_names` for the constructor of a dataclass."""
    original = cls.__init__
    known: tuple[str, ...] = cls.__match_args__  # type: ignore[attr-defined]

    @wraps(original)
    def checked(self: R, *args: Any, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            if name not in known:
                raise _unknown(name, value, known)
        original(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[assignment]
    return cls


def _unknown(name: str, value: object, known: Collection[str]) -> ParameterError:
    from honed.parameter_names import answer  # a start without mistakes does without its tables

    return ParameterError(name, value, answer(name, known))


def _is_array(value: object) -> bool:
    """Of numpy or torch, with dimensions: of one element such a thing would pass for a number."""
    return getattr(value, "ndim", None) not in (None, 0)


def _range(least: float | None, most: float | None, before: str = "", over: float | None = None) -> str:
    if over is not None:
        return f"{before}over {over}" if most is None else f"{before}over {over} and at most {most}"
    if least is not None and most is not None:
        return f"{before}from {least} to {most}"
    if least is None and most is None:
        return ""
    bound = f"at least {least}" if most is None else f"at most {most}"
    return f"{before}of {bound}" if before else bound
