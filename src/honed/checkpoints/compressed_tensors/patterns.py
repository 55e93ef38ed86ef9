"""Regular expressions of a quantization config, matched in bounded time.

Patterns come with a checkpoint, and one like `(a+)+$` keeps a matcher that backtracks busy for ever. Here a pattern
becomes states that a name is read through once (Thompson 1968); sets of states that were met are kept. Read are
literals, `.`, classes, groups, alternatives, repetition, `^`, `$`, and look-aheads at the very beginning: what such
configs hold. The rest (references to groups, look-behinds, flags) is refused. As with `re.match`, a pattern has to
match at the beginning of a name and not to its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_LENGTH = 400
MAX_NAME = 512
MAX_WORK = 3_000_000
"""States visited for all names and all patterns of a config: some seconds at most, and far over what real ones need."""
_MAX_STATES = 1000
_MAX_DEPTH = 20
_REPEAT = re.compile(r"\{([0-9]{0,4})(?:(,)([0-9]{0,4}))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\\[]|\\.)*\]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}

Test = Callable[[str], object]


class PatternError(ValueError):
    """The pattern is malformed, holds what is not read, or takes too long; the text says what."""


@dataclass
class Work:
    """What is left of `MAX_WORK`, shared by the patterns of a config."""

    left: int = MAX_WORK

    def take(self, states: int) -> None:
        self.left -= states
        if self.left < 0:
            raise PatternError("takes too long to match")


class Pattern:
    """A compiled pattern. Errors: PatternError."""

    def __init__(self, text: str, work: Work | None = None) -> None:
        if len(text) > MAX_LENGTH:
            raise PatternError(f"is over {MAX_LENGTH} characters")
        parser, work = _Parser(text), work or Work()
        conditions, part = parser.parse()
        self._conditions = [(wanted, _compiled(condition, work)) for wanted, condition in conditions]
        self._states = _compiled(part, work)

    def matches(self, name: str) -> bool:
        """Whether a name begins with what the pattern describes. One over `MAX_NAME` characters never does.

        Errors: PatternError when the work is used up.
        """
        if len(name) > MAX_NAME or any(states.match(name) is not wanted for wanted, states in self._conditions):
            return False
        return self._states.match(name)


@dataclass(frozen=True)
class _Character:
    test: Test


@dataclass(frozen=True)
class _Edge:
    """The beginning or the end of the name."""

    end: bool


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Choice:
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Repeat:
    part: _Part
    least: int
    most: int | None


_Part = _Character | _Edge | _Sequence | _Choice | _Repeat


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def parse(self) -> tuple[list[tuple[bool, _Part]], _Part]:
        """Conditions at the beginning, each with whether it must hold, and the rest of the pattern."""
        conditions: list[tuple[bool, _Part]] = []
        while True:
            begin = self._at + (self._peek() == "^")
            kind = self._text[begin : begin + 3]
            if kind not in ("(?=", "(?!"):
                break
            self._at = begin + 3
            part = self._choice()
            self._expect(")")
            conditions.append((kind == "(?=", part))
        part = self._choice()
        if self._at < len(self._text):
            raise PatternError("has a parenthesis too many")
        return conditions, part

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _repeats(self, at: int | None = None) -> bool:
        """Whether a repetition stands there."""
        at = self._at if at is None else at
        braces = _REPEAT.match(self._text, at)
        return self._text[at : at + 1] in tuple("*+?") or (braces is not None and bool(braces[1] or braces[3]))

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise PatternError(f"lacks a {character}")
        self._at += 1

    def _choice(self) -> _Part:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError("is nested too deeply")
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._item()))
        return _Sequence(tuple(parts))

    def _repeated(self, part: _Part) -> _Part:
        most: int | None
        character, braces = self._peek(), _REPEAT.match(self._text, self._at)
        if character in tuple("*+?"):
            self._at += 1
            least, most = int(character == "+"), 1 if character == "?" else None
        elif braces is not None and (braces[1] or braces[3]):
            self._at = braces.end()
            least = int(braces[1] or 0)
            most = least if braces[2] is None else int(braces[3]) if braces[3] else None
            if most is not None and most < least:
                raise PatternError("repeats at least more than at most")
        else:
            return part
        if self._peek() == "?":  # as few as possible: the same names match
            self._at += 1
        if self._repeats():
            raise PatternError("repeats a repetition")
        if isinstance(part, _Edge):
            raise PatternError("repeats an edge")
        return _Repeat(part, least, most)

    def _item(self) -> _Part:
        character = self._peek()
        if character == "(":
            return self._group()
        if character == "[":
            found = _CLASS.match(self._text, self._at)
            if found is None:
                raise PatternError("has a class that is not closed")
            self._at = found.end()
            return _tested(found[0])
        self._at += 1
        if self._repeats(self._at - 1):
            raise PatternError("repeats nothing")
        if character in ("^", "$"):
            return _Edge(character == "$")
        if character == ".":
            return _Character(lambda it: it != "\n")
        if character == "\\":
            return self._escape()
        return _Character(character.__eq__)

    def _group(self) -> _Part:
        self._at += 1
        if self._peek() == "?":
            if self._text[self._at + 1 : self._at + 2] != ":":
                raise PatternError("has a group of a kind that is not read")
            self._at += 2
        part = self._choice()
        self._expect(")")
        return part

    def _escape(self) -> _Part:
        character = self._peek()
        self._at += 1
        if character and character in "dDwWsS":
            return _tested("\\" + character)
        if character in _ESCAPES:
            return _Character(_ESCAPES[character].__eq__)
        if character == "Z":
            return _Edge(end=True)
        if not character or character.isalnum():
            raise PatternError(f"has the escape \\{character}, which is not read")
        return _Character(character.__eq__)


def _tested(text: str) -> _Character:
    """One character of a class, which takes Python's own matcher no time."""
    try:
        return _Character(re.compile(text).fullmatch)
    except re.error as error:
        raise PatternError(str(error)) from None


@dataclass(frozen=True)
class _States:
    """`moves`: a test of a character and the state after it. `free`, `at_begin`, `at_end`: states that are reached
    without one, everywhere or at an edge only. The first state is 0, `last` the one that matches."""

    work: Work
    moves: list[list[tuple[Test, int]]] = field(default_factory=list)
    free: list[list[int]] = field(default_factory=list)
    edges: dict[bool, dict[int, list[int]]] = field(default_factory=lambda: {False: {}, True: {}})
    kept: dict[tuple[frozenset[int], str, bool], frozenset[int]] = field(default_factory=dict)
    lasts: list[int] = field(default_factory=list)

    def match(self, name: str) -> bool:
        last = self.lasts[0]
        states = self._closure({0}, begin=True, end=not name)
        for number, character in enumerate(name, 1):
            if last in states or not states:
                break
            key = (states, character, number == len(name))
            following = self.kept.get(key)
            if following is None:
                reached = {to for state in states for test, to in self.moves[state] if test(character)}
                following = self.kept[key] = self._closure(reached, begin=False, end=number == len(name))
            states = following
        return last in states

    def _closure(self, states: set[int], *, begin: bool, end: bool) -> frozenset[int]:
        found, waiting = set(states), list(states)
        self.work.take(1)
        while waiting:
            state = waiting.pop()
            self.work.take(1 + len(self.moves[state]))
            reached = list(self.free[state])
            if begin:
                reached += self.edges[False].get(state, ())
            if end:
                reached += self.edges[True].get(state, ())
            for to in reached:
                if to not in found:
                    found.add(to)
                    waiting.append(to)
        return frozenset(found)

    def add(self) -> int:
        if len(self.free) >= _MAX_STATES:
            raise PatternError("repeats too much")
        self.moves.append([])
        self.free.append([])
        return len(self.free) - 1

    def compile(self, part: _Part, first: int) -> int:
        """Adds the states of a part behind `first`; returns its last."""
        if isinstance(part, _Sequence):
            for item in part.parts:
                first = self.compile(item, first)
            return first
        last = self.add()
        if isinstance(part, _Character):
            self.moves[first].append((part.test, last))
        elif isinstance(part, _Edge):
            self.edges[part.end].setdefault(first, []).append(last)
        elif isinstance(part, _Choice):
            for choice in part.parts:
                begin = self.add()
                self.free[first].append(begin)
                self.free[self.compile(choice, begin)].append(last)
        else:
            self._repeat(part, first, last)
        return last

    def _repeat(self, part: _Repeat, first: int, last: int) -> None:
        for _ in range(part.least):
            first = self.compile(part.part, first)
        if part.most is None:
            again = self.add()
            self.free[first].append(again)
            self.free[self.compile(part.part, again)].append(again)
            self.free[again].append(last)
            return
        self.free[first].append(last)
        for _ in range(part.most - part.least):
            first = self.compile(part.part, first)
            self.free[first].append(last)


def _compiled(part: _Part, work: Work) -> _States:
    states = _States(work)
    states.lasts.append(states.compile(part, states.add()))
    return states
