from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from honed.runtime.wager import Wager


def test_it_closes_when_more_was_lost_than_saved_and_opens_again() -> None:
    wager = Wager()
    assert wager.allows()
    wager.settle(4.0, 1.0, 1.0)
    assert not wager.allows()
    plain = 0
    while not wager.allows():
        wager.save()
        plain += 1
    assert 100 <= plain <= 150


def test_what_wins_keeps_it_open() -> None:
    wager = Wager()
    for _ in range(100):
        wager.settle(2.0, 1.0, 3.0)
    wager.settle(50.0, 1.0, 1.0)  # the machine was busy once
    assert wager.allows()


def test_a_cost_that_is_not_known_counts_for_nothing() -> None:
    wager = Wager()
    for _ in range(100):
        wager.settle(1.0, 0.0, 1.0)
    assert wager.allows()


@given(st.lists(st.tuples(st.floats(0.5, 4.0), st.integers(1, 16)), max_size=400))
def test_the_whole_loss_is_bounded_whatever_comes(steps: list[tuple[float, int]]) -> None:
    """Of a decoder that proposes whenever it may: (what the step costs, what it does), in plain steps."""
    wager = Wager()
    done = spent = 0.0
    for cost, tokens in steps:
        if wager.allows():
            wager.settle(cost, 1.0, float(tokens))
            done, spent = done + tokens, spent + cost
        else:
            wager.save()
            done, spent = done + 1, spent + 1
    # 1.5 % of plain steps, what there was at first, and one step that was too dear.
    assert spent - done <= 0.015 * len(steps) + 1 + 3 + 1e-6
