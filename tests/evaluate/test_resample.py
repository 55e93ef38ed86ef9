from __future__ import annotations

from math import comb

import numpy as np
import pytest

from honed.evaluate.metrics.base import mean
from honed.evaluate.resample import Draws, compare_metrics, gap_interval, mcnemar, paired_p, weight_blocks


def test_each_resample_draws_as_many_as_there_are_and_the_seed_decides() -> None:
    first, again, other = (np.concatenate(list(weight_blocks(7, Draws(resamples=50, seed=seed)))) for seed in (1, 1, 2))
    assert first.shape == (50, 7)
    assert (first.sum(axis=1) == 7).all()
    assert (first == again).all() and not (first == other).all()


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    found = compare_metrics({"m": mean(values)}, None, Draws())["m"]
    width = 2 * 1.96 * values.std() / 20
    assert found.value.high - found.value.low == pytest.approx(width, rel=0.1)
    assert found.value.low < found.value.value < found.value.high
    assert found.reference is None and found.to_json().keys() == {"value"}
    again = gap_interval(values, Draws())
    assert (again.low, again.high) == pytest.approx((found.value.low, found.value.high))


def test_gaps_are_paired() -> None:
    """Two models that differ on few examples have a gap far surer than either value."""
    right = np.random.default_rng(2).random(300) < 0.7
    worse = right.copy()
    worse[np.flatnonzero(right)[:12]] = False
    ours, theirs = ({"accuracy": mean(r.astype(float), r)} for r in (worse, right))
    found = compare_metrics(ours, theirs, Draws())["accuracy"]
    assert found.gap is not None and found.reference is not None
    assert found.gap.value == pytest.approx(-12 / 300)
    assert found.gap.high < 0
    assert found.gap.high - found.gap.low < 0.6 * (found.value.high - found.value.low)
    assert found.p is not None and found.p < 0.01
    assert found.mcnemar == pytest.approx(2 / 2**12)


def test_equal_models_have_no_gap() -> None:
    right = np.array([True, False, True])
    found = compare_metrics({"a": mean(right.astype(float), right)}, {"a": mean(right.astype(float), right)}, Draws())
    assert found["a"].p == found["a"].mcnemar == 1.0


def test_mcnemar_is_the_two_sided_binomial() -> None:
    ours, theirs = np.array([True] * 9 + [False] * 2), np.array([False] * 9 + [True] * 2)
    assert mcnemar(ours, theirs) == pytest.approx(2 * sum(comb(11, i) for i in range(3)) / 2**11)
    stats = pytest.importorskip("scipy.stats")
    assert mcnemar(ours, theirs) == pytest.approx(stats.binomtest(2, 11).pvalue)


def test_a_p_value_is_never_nothing() -> None:
    assert paired_p(np.ones(999)) == pytest.approx(2 / 1000)
    assert paired_p(np.array([np.nan])) == 1
