"""How many guesses of a draft model are proposed: as many as promise the most tokens a second.

Not here: the guesses (`draft.py`).
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Sequence as Many

from honed.runtime.draft import DraftModel
from honed.runtime.sequence import Sequence
from honed.runtime.step_costs import StepCosts

WIDEST = 8
"""Tokens guessed for one sequence at most."""

_MARGIN = 1.05
"""So many times the speed without is what guesses must promise."""

_FIRST_RATE = 0.7
"""Taken for the share of guesses that come true before any was seen, so that they are tried."""

_FIRST_COST = 0.2
"""Likewise for what a guess takes, in steps of the model."""

_TRIED_AGAIN = 256
"""Steps after which guesses that did not pay are tried again: the text may have changed."""

_NEWEST = 1 / 64
"""Weight of one guess in the share of those that come true."""


class DraftProposals:
    """Of one engine."""

    def __init__(self, draft: DraftModel) -> None:
        self._draft = draft
        self._rate = _FIRST_RATE
        self._without = 0
        self._guessed: dict[int, tuple[int, list[int]]] = {}
        """What was guessed for a sequence last, and how many tokens it had then."""

    def propose(self, sequences: Many[Sequence], rows: int, costs: StepCosts, plain: bool) -> float:
        """Sets the proposals of sequences, in a step that has `rows` rows of sequences; seconds that it took.

        plain: nothing is proposed, only learned.
        """
        for sequence in sequences:
            self._learn(sequence)
        width = 0 if plain or not sequences else self._width(len(sequences), rows, costs)
        # The last token needs no guess.
        wanting = [sequence for sequence in sequences if sequence.limit - sequence.generated > 1] if width else []
        if not wanting:
            return 0.0
        before = self._draft.seconds
        for sequence, guess in zip(wanting, self._draft.guess(wanting, width), strict=True):
            if guess:
                self._guessed[sequence.id] = len(sequence.tokens), guess
                sequence.proposal = guess[: sequence.limit - sequence.generated - 1]
        return self._draft.seconds - before

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        self._guessed.pop(sequence.id, None)
        self._draft.forget(sequence)

    def check_integrity(self, ids: Container[int]) -> None:
        """AssertionError if it remembers a sequence that is not among these, or lost a page."""
        assert all(number in ids for number in self._guessed), "guesses are kept for a sequence that has ended"
        self._draft.check_integrity(ids)

    def _learn(self, sequence: Sequence) -> None:
        start, guess = self._guessed.pop(sequence.id, (0, []))
        for guessed, token in zip(guess, sequence.tokens[start:], strict=False):
            self._rate += _NEWEST * ((guessed == token) - self._rate)
            if guessed != token:
                return

    def _width(self, count: int, rows: int, costs: StepCosts) -> int:
        """Guesses for each of `count` sequences."""
        plain = costs.seconds(rows)
        guess = self._draft.step_seconds(count) or _FIRST_COST * plain
        best, promise, expected, probability = 0, _MARGIN, float(rows), 1.0
        for width in range(1, WIDEST + 1):
            probability *= self._rate
            expected += count * probability
            seconds = costs.seconds(rows + count * width) + width * guess
            if expected * plain > promise * rows * seconds:
                best, promise = width, expected * plain / (rows * seconds)
        self._without = 0 if best else self._without + 1
        if self._without >= _TRIED_AGAIN:
            self._without = 0
            return 2
        return best
