from __future__ import annotations

from collections.abc import Sequence as Many

import pytest

from hash_backend import HashBackend, logits_of
from honed.runtime.draft import DraftModel
from honed.runtime.draft_proposals import DraftProposals
from honed.runtime.request import GREEDY, Request
from honed.runtime.sampling import Sampler
from honed.runtime.sequence import Sequence
from honed.runtime.step_costs import StepCosts


class Draft(DraftModel):
    """Right or wrong, at a cost of its own."""

    def __init__(self, right: bool, seconds: float) -> None:
        super().__init__(HashBackend())
        self._right = right
        self._each = seconds

    def step_seconds(self, sequences: int) -> float:
        return self._each

    def guess(self, sequences: Many[Sequence], width: int) -> list[list[int]]:
        self.seconds += width * self._each
        return [[greedy(each.tokens, i) if self._right else 49 for i in range(width)] for each in sequences]


def greedy(tokens: list[int], ahead: int) -> int:
    made = list(tokens)
    for _ in range(ahead + 1):
        made.append(int(logits_of(made).argmax()))
    return made[-1]


def sequence(limit: int = 2000) -> Sequence:
    return Sequence(1, Request((1, 2), limit), limit, Sampler(GREEDY, (1, 2)), [1, 2])


def widths(draft: Draft, steps: int) -> list[int]:
    """Of the proposals of each step, on a machine where rows are nearly free."""
    proposals, costs, one = DraftProposals(draft), StepCosts(), sequence()
    for rows in range(1, 20):
        costs.note(rows, 1.0 + 0.01 * rows)
    found = []
    for _ in range(steps):
        one.proposal = []
        before = draft.seconds
        taken = proposals.propose([one], 1, costs, False)
        assert taken == draft.seconds - before
        found.append(len(one.proposal))
        for guess in [*one.proposal, -1]:
            one.tokens.append(greedy(one.tokens, 0))
            if one.tokens[-1] != guess:
                break
    return found


def test_guesses_that_come_true_are_asked_for_in_numbers() -> None:
    assert widths(Draft(right=True, seconds=0.05), 40)[-1] == 8


def test_guesses_that_do_not_are_given_up_and_tried_again_rarely() -> None:
    found = widths(Draft(right=False, seconds=0.3), 700)
    assert found[0] > 0
    assert 1 <= sum(width > 0 for width in found[150:]) <= 4


def test_a_draft_as_slow_as_the_model_is_not_asked() -> None:
    assert widths(Draft(right=True, seconds=1.0), 20) == [0] * 20


@pytest.mark.parametrize(("limit", "wanted"), [(1, 0), (2, 1), (3, 2)])
def test_no_more_is_proposed_than_may_come(limit: int, wanted: int) -> None:
    costs, one = StepCosts(), sequence(limit)
    costs.note(1, 1.0)
    DraftProposals(Draft(right=True, seconds=0.01)).propose([one], 1, costs, False)
    assert len(one.proposal) == wanted


def test_plain_steps_ask_for_nothing() -> None:
    costs, one = StepCosts(), sequence()
    costs.note(1, 1.0)
    assert DraftProposals(Draft(right=True, seconds=0.01)).propose([one], 1, costs, True) == 0.0
    assert one.proposal == []
