"""What a request remembers of its tokens for the penalties, a token at a time: which it has seen, and how often.

A `Tracker` goes ahead of the tokens that were chosen, along proposed ones, and back. Not here: DRY (`dry.py`), and what
is done to the logits (`sampling.py`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from honed.backends.token_pairs import TokenPairs


class Tracker(Protocol):
    """State after the tokens pushed so far. None but these methods change it."""

    def push(self, token: int) -> None:
        """One more token, which may be taken back."""

    def pop(self) -> None:
        """Takes back the last one that is not settled."""

    def settle(self) -> None:
        """The first one that is not settled stays for good."""

    def fill(self, fields: dict[str, Any]) -> None:
        """Puts what it knows into fields of a `RowChoice`, in values that no later call changes."""


class Seen:
    """Tracks the distinct tokens, for the repetition penalty."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._known = set(tokens)
        self._order = array("i", self._known)
        self._new: deque[bool] = deque()

    def push(self, token: int) -> None:
        new = token not in self._known
        if new:
            self._known.add(token)
            self._order.append(token)
        self._new.append(new)

    def pop(self) -> None:
        if self._new.pop():
            self._known.remove(self._order.pop())

    def settle(self) -> None:
        self._new.popleft()

    def fill(self, fields: dict[str, Any]) -> None:
        fields["seen"] = self._order[:]


class Counts:
    """Tracks how often each token of the reply stands in it, for the presence and frequency penalties."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._tokens, self._times = array("i"), array("i")
        self._ahead: deque[int] = deque()

    def push(self, token: int) -> None:
        place = self._places.setdefault(token, len(self._tokens))
        if place == len(self._tokens):
            self._tokens.append(token)
            self._times.append(0)
        self._times[place] += 1
        self._ahead.append(token)

    def pop(self) -> None:
        token = self._ahead.pop()
        place = self._places[token]
        self._times[place] -= 1
        if not self._times[place]:  # then it was the last that came new
            del self._places[token], self._tokens[place], self._times[place]

    def settle(self) -> None:
        self._ahead.popleft()

    def fill(self, fields: dict[str, Any]) -> None:
        fields["counts"] = TokenPairs(self._tokens[:], self._times[:])
