"""How often a guess at the next token comes true, by how many tokens before it agreed with where it was found.

Learned from every generated token that there was a guess for, whether it had been proposed or not: it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 16
"""Agreeing tokens that are told apart; more count as so many."""

_BUCKETS = (0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5)
"""Of 0 to LONGEST agreeing tokens."""

_FIRST = (0.2, 0.35, 0.5, 0.6, 0.7, 0.85)
"""What is taken for it before anything was seen: running text copies seldom, and who has copied for long goes on."""

_MOST = 0.98
"""Nothing is certain: further tokens of one run are always less probable than the ones before."""


class Acceptance:
    """The share of guesses that came true, the latest counting most."""

    def __init__(self, prior: Acceptance | None = None) -> None:
        """`prior`: what is learned of all sequences, where this is about one of them; it learns along."""
        self._prior = prior
        # As if a few guesses had been seen. One sequence is believed soon, all together slowly.
        self._weight, self._keep = (8.0, 0.99) if prior is None else (3.0, 0.9)
        rates: Sequence[float] = _FIRST if prior is None else prior.rates
        self._trials = [self._weight] * len(_FIRST)
        self._hits = [rate * self._weight for rate in rates]
        self.rates: list[float] = list(rates)
        """Of each bucket; `rate` says which."""

    def rate(self, agreeing: int) -> float:
        """The probability that a guess comes true after so many agreeing tokens."""
        return self.rates[_BUCKETS[agreeing if agreeing < LONGEST else LONGEST]]

    def note(self, agreeing: int, came_true: bool) -> None:
        """One guess and what came of it."""
        bucket = _BUCKETS[agreeing if agreeing < LONGEST else LONGEST]
        self._trials[bucket] = self._trials[bucket] * self._keep + 1
        self._hits[bucket] = self._hits[bucket] * self._keep + came_true
        self.rates[bucket] = min(_MOST, self._hits[bucket] / self._trials[bucket])
        if self._prior is not None:
            self._prior.note(agreeing, came_true)
