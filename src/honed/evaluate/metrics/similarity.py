"""How a model's scores of pairs go with those of people: Pearson's and Spearman's correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honed.evaluate.metrics.base import Float64, Measured, Metric, MetricOptions, ratio


def _pearson(references: Sequence[float], predictions: Sequence[float], options: MetricOptions) -> Measured:
    x, y = np.asarray(references, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    return Measured(lambda weights: _correlation(weights, x[None], y[None]), len(x), _closeness(x, y))


def _spearman(references: Sequence[float], predictions: Sequence[float], options: MetricOptions) -> Measured:
    x, y = np.asarray(references, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    ranks = _Ranks(x), _Ranks(y)
    return Measured(
        lambda weights: _correlation(weights, ranks[0](weights), ranks[1](weights)), len(x), _closeness(x, y)
    )


def _closeness(x: Float64, y: Float64) -> Float64:
    """How near the rank of each prediction is to that of its reference; 0 is best, and there is nothing above."""
    ones = np.ones((1, len(x)))
    found: Float64 = -np.abs(_Ranks(x)(ones)[0] - _Ranks(y)(ones)[0])
    return found


def _correlation(weights: Float64, x: Float64, y: Float64) -> Float64:
    """Weighted, of x and y [resamples or 1, n]; NaN where one of them is constant."""
    total = weights.sum(axis=1, keepdims=True)
    a = x - (weights * x).sum(axis=1, keepdims=True) / total
    b = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return ratio((weights * a * b).sum(axis=1), spread, np.nan)


class _Ranks:
    """Ranks of values of which each counts as often as a weight says; equal ones have the mean of their places."""

    def __init__(self, values: Float64) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1]).astype(np.intp)
        self._group = np.repeat(np.arange(len(self._starts)), np.diff([*self._starts, len(values)]))

    def __call__(self, weights: Float64) -> Float64:
        sizes = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        ranks = np.cumsum(sizes, axis=1) - sizes + (sizes + 1) / 2
        found = np.empty_like(weights)
        found[:, self._order] = ranks[:, self._group]
        return found


METRICS = (Metric("spearman", _spearman, bounded=False), Metric("pearson", _pearson, bounded=False))
