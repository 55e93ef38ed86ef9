"""Command lines that are read without typer, whose import takes as long as loading a model.

The declarations are those of the verb, as typer reads them. Whatever is not plain here (help, a mistake, an
abbreviation, a value that looks like an option) is left to typer, so that there is one place that explains.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints


class _Declared:
    """Stands for typer.Argument or typer.Option while annotations are evaluated."""

    def __init__(self, *names: str, **shown: object) -> None:
        self.names = names


class _Argument(_Declared):
    pass


class _Option(_Declared):
    pass


_TYPER = SimpleNamespace(Argument=_Argument, Option=_Option)
_PLAIN: dict[type, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    str: (re.compile(r"[^-].*|-", re.DOTALL), str),
    int: (re.compile(r"[0-9]{1,18}"), int),
    float: (re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?"), float),
}
"""Of each type the values that are read here, and how."""


def parse(function: Callable[..., None], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of a verb's function that typer would call it with, defaults left out; None: ask typer."""
    if os.name == "nt" or "_HONED_COMPLETE" in os.environ:  # typer expands wildcards, or completes for a shell
        return None
    arguments, options = _declared(function)
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            if not arguments:
                return None
            name, kind = arguments.pop(0)
            value = word
        else:
            flag, equals, value = word.partition("=")
            if flag not in options:
                return None
            name, kind = options[flag]
            if kind is bool and not equals:
                given[name] = True
                continue
            if not equals:
                value = next(rest, "")
        repeated = kind == list[str]
        pattern, read = _PLAIN.get(str if repeated else kind, (None, None))
        if pattern is None or read is None or not pattern.fullmatch(value):
            return None
        given[name] = [*given.get(name, []), value] if repeated else read(value)
    return None if arguments else given


def options(function: Callable[..., None]) -> dict[str, tuple[str, Any]]:
    """The options of a verb's function, by flag: name and type."""
    return _declared(function)[1]


def _declared(function: Callable[..., None]) -> tuple[list[tuple[str, Any]], dict[str, tuple[str, Any]]]:
    """Name and type of each argument, and of each option by its flag. Those that may be None have the other type."""
    written = function
    while hasattr(written, "__wrapped__"):  # by `cli/declared.py`
        written = written.__wrapped__
    names = {**written.__globals__, "typer": _TYPER}
    hints = get_type_hints(function, names, include_extras=True)
    del hints["return"]
    arguments: list[tuple[str, Any]] = []
    options: dict[str, tuple[str, Any]] = {}
    for name, hint in hints.items():
        kind, declared = hint.__origin__, hint.__metadata__[0]
        if type(None) in get_args(kind):
            (kind,) = (other for other in get_args(kind) if other is not type(None))
        if isinstance(declared, _Argument):
            arguments.append((name, kind))
        else:
            flags = declared.names or (f"--{name.replace('_', '-')}",)
            options |= {flag: (name, kind) for flag in flags if flag.startswith("--")}
    return arguments, options
