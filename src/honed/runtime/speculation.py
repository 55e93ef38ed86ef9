"""How many tokens are proposed ahead of the model, and which (speculative decoding, Leviathan et al. 2023).

A proposal is a guess at what will be chosen. The model computes a row for each of its tokens beside the row that it
would compute anyway, every token is chosen from the true logits as if nothing had been proposed, and the guesses count
as computed as far as they equal what was chosen. So proposals change when a token comes and never which one.

How many are worth their rows is decided anew for each step, from what rows cost on this machine in a batch of this
size (`step_costs.py`) and how often such guesses came true (`acceptance.py`); where none is, nothing is proposed. Both
are estimates, so what steps with proposals really took is set against plain ones, and what may be lost is bounded
(`wager.py`).
Not here: the guesses (`prompt_lookup.py`, `draft.py`), the tokens that a grammar forces, which the engine always
proposes, and the check against what was chosen (`engine.py`).
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Sequence as Many
from typing import Literal

from honed.runtime.acceptance import Acceptance
from honed.runtime.draft import DraftModel
from honed.runtime.draft_proposals import DraftProposals
from honed.runtime.prompt_lookup import PromptLookup
from honed.runtime.sequence import Sequence
from honed.runtime.step_costs import StepCosts
from honed.runtime.wager import Wager

SpeculationKind = Literal["prompt-lookup", "off"]
"""Where proposals come from."""

KINDS: tuple[SpeculationKind, ...] = ("prompt-lookup", "off")

WIDEST = 15
"""Tokens proposed for one sequence at most: with the row that is computed anyway, 16."""

_SIZES = (2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Rows of steps with proposals. Few, since each must be tried until its cost is known; and those that kernels are made
for, where a row less is no cheaper."""

_MOST_SEQUENCES = 8
"""So many decode at most where something is looked up: a step of more has few cheap rows to give, and what sixteen gain
where they copy is less than what they lose where they do not."""

_MARGIN = 1.05
"""So many times plain decoding is what proposals must promise, as the costs of both are known to a few percent."""

_PLAIN_AGAIN = 128
"""Steps after which plain decoding is measured again where proposals won every time."""


class Speculation:
    """Proposals for all sequences of one engine: from prompt lookup, and, for those that have none from there, from a
    draft model, if there is one."""

    def __init__(self, *, lookup: bool = True, draft: DraftModel | None = None) -> None:
        self._lookup = lookup
        self._draft = None if draft is None else DraftProposals(draft)
        self._costs = StepCosts()
        self._acceptance = Acceptance()
        self._wager = Wager()
        self._plain_rows = 0
        """Rows of the step without its proposals."""
        self._guessed = 0
        """Tokens proposed from here for the step."""
        self._lookups: dict[int, PromptLookup] = {}
        self._drafted = 0.0

    def propose(self, sequences: Many[Sequence], rows: int) -> None:
        """Sets the proposals of `sequences`, which all decode, in a step that has `rows` rows without them."""
        self._drafted, self._guessed, self._plain_rows = 0.0, 0, rows
        if not self._wager.allows():
            return
        plain = self._costs.age(rows) >= _PLAIN_AGAIN
        if self._lookup and rows <= _MOST_SEQUENCES:
            self._look_up(sequences, rows, plain)
        if self._draft is not None:
            rest = [sequence for sequence in sequences if not sequence.proposal]
            self._drafted = self._draft.propose(rest, rows, self._costs, plain)
        self._guessed = sum([len(sequence.proposal) for sequence in sequences])

    def note(self, rows: int, seconds: float, *, proposed: int = 0, accepted: int = 0) -> None:
        """A step in which every sequence decoded had so many rows, `proposed` ones included, and took so long."""
        plain, decoding = rows - proposed, self._plain_rows
        self._costs.note(rows, seconds - self._drafted)
        if not self._guessed and not self._drafted:
            self._wager.save()
        elif proposed <= self._guessed and plain == decoding:  # nothing that a grammar forced is among them
            self._wager.settle(seconds, self._costs.seconds(plain), 1 + accepted / plain)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        self._lookups.pop(sequence.id, None)
        if self._draft is not None:
            self._draft.forget(sequence)

    def check_integrity(self, ids: Container[int]) -> None:
        """AssertionError if it remembers a sequence that is not among these."""
        assert all(number in ids for number in self._lookups), "guesses are kept for a sequence that has ended"
        if self._draft is not None:
            self._draft.check_integrity(ids)

    def _look_up(self, sequences: Many[Sequence], rows: int, plain: bool) -> None:
        """plain: nothing is proposed, only learned."""
        guessing: list[tuple[Sequence, PromptLookup]] = []
        for sequence in sequences:
            lookup = self._lookups.get(sequence.id)
            if lookup is None:
                lookup = PromptLookup(sequence.tokens, len(sequence.request.prompt), self._acceptance)
                self._lookups[sequence.id] = lookup
            if lookup.advance():
                guessing.append((sequence, lookup))
        if plain or not guessing:
            return
        totals = self._relative_costs(rows)
        least = min(rows * (_MARGIN * cost - 1) / count for count, cost in totals)
        if least >= 1:
            return
        gains: list[tuple[float, int]] = []
        for index, (sequence, lookup) in enumerate(guessing):
            # The last token needs no row of its own.
            room = min(WIDEST, sequence.limit - sequence.generated - 1)
            gains += [(rate, index) for rate in lookup.rates(room, least)]
        if not gains:
            return
        # Those of one sequence descend, so that the first ones of all are the first ones of each.
        gains.sort(reverse=True)
        widths: dict[int, int] = {}
        for _, index in gains[: _best_total(gains, totals, rows)]:
            widths[index] = widths.get(index, 0) + 1
        for index, width in widths.items():
            sequence, lookup = guessing[index]
            sequence.proposal = lookup.guess(width)

    def _relative_costs(self, rows: int) -> list[tuple[int, float]]:
        """Of each total of proposals, what the step costs with them against the step without."""
        seconds = self._costs.seconds
        plain = seconds(rows)
        return [(size - rows, seconds(size) / plain) for size in _SIZES if size > rows]


def _best_total(gains: list[tuple[float, int]], totals: list[tuple[int, float]], rows: int) -> int:
    """The number of proposals that promises the most tokens a second; 0 if none promises enough more than none.

    gains: the probability of each proposal, descending. totals: numbers of proposals and what they cost.
    """
    best, promise, expected, taken = 0, _MARGIN, float(rows), 0
    for count, cost in totals:
        if count > len(gains):
            break
        while taken < count:
            expected += gains[taken][0]
            taken += 1
        if expected / (rows * cost) > promise:
            best, promise = count, expected / (rows * cost)
    return best
