from __future__ import annotations

import pytest

from honed.bench.ratio import Ratio, paired_ratio


def test_ratio_is_of_the_runs_and_not_of_the_medians() -> None:
    """The machine halves its speed for both in the second run, and again in the third: each ratio stays 2."""
    found = paired_ratio([8.0, 4.0, 2.0], [4.0, 2.0, 1.0])
    assert found == Ratio(2.0, 2.0, 2.0, 0.75, 3)


def test_few_runs_give_all_they_have_and_say_what_it_is_worth() -> None:
    found = paired_ratio([1.0, 3.0, 2.0, 5.0, 4.0], [1.0] * 5)
    assert (found.median, found.low, found.high) == (3.0, 1.0, 5.0)
    assert found.confidence == 1 - 2 / 2**5


@pytest.mark.parametrize(
    ("runs", "low", "high", "outside"),
    # The outermost values that may be left out with 95 % kept: tables of the sign test, e.g. n = 10: ranks 2 and 9.
    [
        (1, 0, 0, 1.0),
        (6, 0, 5, 2 / 64),
        (8, 0, 7, 2 / 256),
        (9, 1, 7, 20 / 512),
        (10, 1, 8, 22 / 1024),
        (12, 2, 9, 158 / 4096),
    ],
)
def test_ranks_are_those_of_the_sign_test(runs: int, low: int, high: int, outside: float) -> None:
    found = paired_ratio([float(value) for value in range(runs)], [1.0] * runs)
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(1 - outside)


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    """Ten values of a skewed distribution whose median is 1, a thousand times."""
    import numpy as np

    generator = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        values = np.exp(generator.standard_normal(10) * 1.5)
        found = paired_ratio(values.tolist(), [1.0] * 10)
        held += found.low <= 1.0 <= found.high
    assert found.confidence == pytest.approx(0.9785, abs=1e-4)
    assert held / 1000 == pytest.approx(found.confidence, abs=0.015)


def test_runs_must_pair() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one run"):
        paired_ratio([], [])
