from __future__ import annotations

import pytest

from honed.runtime.step_costs import StepCosts


def test_sizes_in_between_lie_on_a_line() -> None:
    costs = StepCosts()
    costs.note(1, 1.0)
    costs.note(5, 3.0)
    assert [costs.seconds(rows) for rows in (1, 2, 3, 5)] == [1.0, 1.5, 2.0, 3.0]
    assert costs.seconds(6) > 3.0
    assert StepCosts().seconds(3) == 0.0


def test_a_size_that_was_never_run_is_tried_because_it_looks_cheap() -> None:
    costs = StepCosts()
    costs.note(1, 1.0)
    assert 1.0 < costs.seconds(8) < 2.0


def test_one_delayed_step_does_not_rule_a_size_out() -> None:
    costs = StepCosts()
    for seconds in (50.0, 1.0, 1.1):
        costs.note(4, seconds)
    assert costs.seconds(4) == 1.0
    costs.note(4, 100.0)
    assert costs.seconds(4) == pytest.approx(1.0625)


def test_costs_follow_what_is_measured() -> None:
    costs = StepCosts()
    for _ in range(5):
        costs.note(2, 1.0)
    for _ in range(40):
        costs.note(2, 2.0)
    assert costs.seconds(2) == pytest.approx(2.0, rel=0.01)


def test_what_was_not_run_for_long_is_unknown_again() -> None:
    costs = StepCosts()
    costs.note(8, 1000.0)
    for _ in range(2200):
        costs.note(1, 1.0)
    assert costs.seconds(8) < 2.0
    assert costs.age(1) == 0
    assert costs.age(8) >= 2048
