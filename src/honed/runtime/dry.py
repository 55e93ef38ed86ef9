"""DRY ("don't repeat yourself", p-e-w 2024): a token that would carry on a repetition of what stands already is made
less likely, the more so the longer the repetition is.

Let n be the length of the longest end of the text that stood in it before with that token behind it. From
`dry_allowed_length` on, dry_multiplier * dry_base ^ (n - dry_allowed_length) is subtracted from the token's logit.
A repetition does not reach over a breaker, and no breaker is penalized.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any

from honed.backends.token_pairs import TokenPairs
from honed.runtime.request import Sampling

_MOST = 1e30
"""Of a penalty: no logit bears it, and a float32 can hold it."""

_PLACES = 256
"""An end of the text that stood more often is compared with the latest places only, so that a token costs the same
time in the most repetitive of texts."""

_GRAM = 4
"""Tokens that places are looked up by, at most."""


class Dry:
    """A `Tracker` of the matches of the end of the text, with a table from its last tokens to where they stood."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._allowed = sampling.dry_allowed_length
        self._range = sampling.dry_range
        self._breakers = frozenset(sampling.dry_breakers)
        self._base = sampling.dry_base
        self._penalties = [min(sampling.dry_multiplier, _MOST)]  # by n - allowed
        self._gram = min(self._allowed, _GRAM)
        # Nothing before the range is ever compared.
        self._tokens = list(prompt[-self._range :] if self._range else prompt)
        self._places: dict[tuple[int, ...], list[int]] = {}
        for end in range(self._gram - 1, len(self._tokens)):
            self._places.setdefault(self._key(end), []).append(end)
        self._breaker = max((i for i, token in enumerate(self._tokens) if token in self._breakers), default=-1)
        self._lengths = self._first_lengths()  # of the matches that end there
        self._undo: deque[tuple[dict[int, int], int]] = deque()

    def push(self, token: int) -> None:
        self._undo.append((self._lengths, self._breaker))
        end = len(self._tokens)
        self._tokens.append(token)
        if token in self._breakers:
            self._breaker = end
        before, self._lengths = self._lengths, {}
        if end >= self._gram - 1:
            places = self._places.setdefault(self._key(end), [])
            # Where the place before did not match, it is no more than the key that does.
            self._lengths = {place: before.get(place - 1, self._gram - 1) + 1 for place in places[-_PLACES:]}
            places.append(end)

    def pop(self) -> None:
        end = len(self._tokens) - 1
        if end >= self._gram - 1:
            self._places[self._key(end)].pop()
        self._tokens.pop()
        self._lengths, self._breaker = self._undo.pop()

    def settle(self) -> None:
        self._undo.popleft()

    def fill(self, fields: dict[str, Any]) -> None:
        longest: dict[int, int] = {}
        last = len(self._tokens) - 1
        most = last - self._breaker
        start = max(0, len(self._tokens) - self._range) if self._range else 0
        for place, found in self._lengths.items():
            length = min(found, most, place + 1 - start)
            token = self._tokens[place + 1]
            if length >= self._allowed and token not in self._breakers and length > longest.get(token, 0):
                longest[token] = length
        penalties = array("d", [self._penalty(length - self._allowed) for length in longest.values()])
        fields["dry"] = TokenPairs(array("i", longest), penalties)

    def _key(self, end: int) -> tuple[int, ...]:
        return tuple(self._tokens[end + 1 - self._gram : end + 1])

    def _penalty(self, over: int) -> float:
        # By multiplication: the power function of a C library may differ in the last bit by processor.
        known = self._penalties
        while over >= len(known):
            if known[-1] == _MOST or self._base == 1:
                return known[-1]
            known.append(min(known[-1] * self._base, _MOST))
        return known[over]

    def _first_lengths(self) -> dict[int, int]:
        last = len(self._tokens) - 1
        places = self._places[self._key(last)][-_PLACES - 1 : -1] if last >= self._gram - 1 else []
        if not places:
            return {}
        lengths = _prefix_matches(self._tokens[::-1])
        return {place: lengths[last - place] for place in places}


def _prefix_matches(tokens: Sequence[int]) -> list[int]:
    """For each place how many tokens from there on equal the first ones (the Z function, Gusfield 1997); in linear
    time."""
    size = len(tokens)
    lengths = [size] + [0] * (size - 1)
    left = right = 0
    for place in range(1, size):
        length = min(right - place, lengths[place - left]) if place < right else 0
        while place + length < size and tokens[length] == tokens[place + length]:
            length += 1
        lengths[place] = length
        if place + length > right:
            left, right = place, place + length
    return lengths
