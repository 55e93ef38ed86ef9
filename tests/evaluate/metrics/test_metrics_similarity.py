"""Against scipy where it is installed; weights against examples written out as often."""

from __future__ import annotations

import numpy as np
import pytest

from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.similarity import METRICS

SPEARMAN, PEARSON = METRICS


def test_random_pairs_equal_scipy_equal_values_too() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    for _ in range(200):
        x, y = random.integers(0, 6, (2, 25)) / 5
        assert SPEARMAN.measure(x, y, MetricOptions()).value == pytest.approx(stats.spearmanr(x, y)[0], rel=1e-12)
        assert PEARSON.measure(x, y, MetricOptions()).value == pytest.approx(stats.pearsonr(x, y)[0], rel=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_example_that_is_drawn_twice_counts_twice(metric: object) -> None:
    assert metric in METRICS
    found = next(m for m in METRICS if m is metric)
    random = np.random.default_rng(2)
    x, y = random.integers(0, 5, (2, 12)).astype(float)
    draws = random.integers(0, 3, (4, 12)).astype(float)
    values = found.measure(x, y, MetricOptions()).of(draws)
    for row, value in zip(draws, values, strict=True):
        rows = np.repeat(np.arange(12), row.astype(int))
        assert value == pytest.approx(found.measure(x[rows], y[rows], MetricOptions()).value, rel=1e-12)


def test_the_worst_example_is_that_whose_rank_is_furthest_off() -> None:
    measured = SPEARMAN.measure([1, 2, 3, 4], [4, 2, 3, 5], MetricOptions())
    assert measured.each is not None and measured.each.argmin() == 0


def test_a_constant_has_no_correlation() -> None:
    assert np.isnan(PEARSON.measure([1, 2, 3], [5, 5, 5], MetricOptions()).value)
