"""JSON read character by character, as a model writes it: a call, its name, and its arguments while they come.

Every scanner is a generator that is sent the next character ("" at the end of the text) and returns the first
character that it does not read itself. What is no call raises `MalformedCallError`. Not here: the marks of a format
around it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

T = TypeVar("T")
Scan = Generator[None, str, T]

ARGUMENTS = ("arguments", "parameters")
_SPACE = " \t\r\n"


class MalformedCallError(Exception):
    """The text is not that of a call."""


class Calls(Protocol):
    """Takes what is found."""

    def begin(self, name: str) -> None:
        """A call begins. A name that is not taken for one: MalformedCallError."""

    def argument(self, fragment: str) -> None:
        """More of the arguments of the call that began."""

    def end(self) -> None:
        """The call is whole."""


def space(char: str) -> Scan[str]:
    """White space, if any."""
    while char and char in _SPACE:
        char = yield
    return char


def expect(char: str, wanted: str) -> None:
    """MalformedCallError, unless the character is the one that has to stand here."""
    if char != wanted:
        raise MalformedCallError


def word(char: str, wanted: str) -> Scan[str]:
    """Exactly this text."""
    for one in wanted:
        expect(char, one)
        char = yield
    return char


def string(char: str) -> Scan[tuple[str, str]]:
    """A JSON string, decoded, and the next character. Characters that JSON wants escaped are taken as they are."""
    expect(char, '"')
    written = []
    while (char := (yield)) != '"':
        if not char:
            raise MalformedCallError
        written.append(char)
        if char == "\\":
            if not (char := (yield)):
                raise MalformedCallError
            written.append(char)
    try:
        decoded: str = json.loads(f'"{"".join(written)}"', strict=False)
    except ValueError:
        raise MalformedCallError from None
    return decoded, (yield)


def value(char: str, give: Callable[[str], None]) -> Scan[str]:
    """Any JSON value, as it is written. Only strings and brackets are looked at: the value is the caller's to check."""
    if char == '"':
        return (yield from _quoted(give))
    if char not in ("{", "["):
        if not char or char in ",}]:":
            raise MalformedCallError
        while char and char not in ",}]:" and char not in _SPACE:
            give(char)
            char = yield
        return char
    closing: list[str] = []
    while True:
        if char == '"':
            char = yield from _quoted(give)
            continue
        if not char:
            raise MalformedCallError
        if char in "{[":
            closing.append("}" if char == "{" else "]")
        elif char in "}]":
            expect(char, closing.pop())
        give(char)
        char = yield
        if not closing:
            return char


def _quoted(give: Callable[[str], None]) -> Scan[str]:
    give('"')
    while (char := (yield)) != '"':
        if not char:
            raise MalformedCallError
        give(char)
        if char == "\\":
            if not (char := (yield)):
                raise MalformedCallError
            give(char)
    give('"')
    return (yield)


def closing(char: str, marker: str) -> Scan[str]:
    """A marker after a call, and white space before it. Returns what is neither, to be read as text."""
    read = ""
    while char and char in _SPACE:
        read += char
        char = yield
    for index, one in enumerate(marker):
        if char != one:
            return read + marker[:index] + char
        if index + 1 < len(marker):
            char = yield
    return ""


def call(char: str, calls: Calls, *, keys: frozenset[str] | None = None) -> Scan[str]:
    """An object with the name of a tool and its arguments, in any order, among other keys (`keys` alone, if given).

    The call begins when both the name and the beginning of the arguments are known; without arguments they are {}.
    Arguments that are written as a string are what the string says.
    """
    expect(char, "{")
    name: str | None = None
    held: list[str] | None = None
    begun = False
    char = yield from space((yield))
    while char != "}":
        key, char = yield from string(char)
        if keys is not None and key not in keys:
            raise MalformedCallError
        char = yield from space(char)
        expect(char, ":")
        char = yield from space((yield))
        if key == "name" and name is None:
            name, char = yield from string(char)
            if held is not None:
                begun = True
                _begin(calls, name, held)
        elif key in ARGUMENTS and held is None:
            held = []
            if name is not None and char == "{":
                begun = True
                calls.begin(name)
                char = yield from value(char, calls.argument)
            else:
                char = yield from _held(char, held)
                if name is not None:
                    begun = True
                    _begin(calls, name, held)
        else:
            char = yield from value(char, _ignore)
        char = yield from space(char)
        if char == ",":
            char = yield from space((yield))
            expect(char, '"')
        else:
            expect(char, "}")
    if not begun:
        if name is None:
            raise MalformedCallError
        _begin(calls, name, [])
    calls.end()
    return (yield)


def _held(char: str, held: list[str]) -> Scan[str]:
    """Arguments that cannot be given out as they come."""
    if char != '"':
        return (yield from value(char, held.append))
    text, char = yield from string(char)
    held.append(text)
    return char


def _begin(calls: Calls, name: str, held: list[str]) -> None:
    calls.begin(name)
    arguments = "".join(held)
    calls.argument("{}" if arguments.strip() in ("", "null") else arguments)


def _ignore(_: str) -> None:
    """Takes what nobody needs."""
