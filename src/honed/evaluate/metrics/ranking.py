"""Metrics of candidates in the order of a model's scores: nDCG@k and MRR@k.

A reference is the grades of the candidates (0: of no use), a prediction their scores. Among equal scores nDCG takes the
mean over all orders (McSherry and Najork 2008), as scikit-learn does, and MRR the worst one, so that a model which says
the same of all is not rewarded for the order of a file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honed.errors import HonedError
from honed.evaluate.metrics.base import Float64, Measured, Metric, MetricOptions, mean

Rows = Sequence[Sequence[float]]


def ndcg(grades: Sequence[float], scores: Sequence[float], k: int | None = None) -> float:
    """Normalized discounted cumulative gain of the first k (Jarvelin and Kekalainen 2002), with the grade itself as the
    gain; 0 where no candidate is of use."""
    gain, order = np.asarray(grades, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    discount: Float64 = 1.0 / np.log2(np.arange(len(gain)) + 2.0)
    if k is not None:
        discount[k:] = 0.0
    best = float(np.sort(gain)[::-1] @ discount)
    if best == 0:
        return 0.0
    _, group, sizes = np.unique(-order, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=gain) / sizes
    ends = np.cumsum(sizes)
    sums = np.concatenate([[0.0], np.cumsum(discount)])
    return float(means @ (sums[ends] - sums[ends - sizes])) / best


def reciprocal_rank(grades: Sequence[float], scores: Sequence[float], k: int | None = None) -> float:
    """One over the place of the first candidate of use, 0 if it is not among the first k."""
    order = np.asarray(scores, dtype=np.float64)
    useful: NDArray[np.bool_] = np.asarray(grades, dtype=np.float64) > 0
    if not useful.any():
        return 0.0
    place = 1 + int((order[~useful] >= order[useful].max()).sum())
    return 0.0 if k is not None and place > k else 1.0 / place


def ranking_metric(kind: str, k: int | None) -> Metric:
    """ndcg or mrr, of the first k or of all."""
    score = ndcg if kind == "ndcg" else reciprocal_rank

    def measure(references: Rows, predictions: Rows, options: MetricOptions) -> Measured:
        for number, (grades, scores) in enumerate(zip(references, predictions, strict=True), 1):
            if len(grades) != len(scores):
                raise HonedError(f"example {number}: has {len(grades)} grades and {len(scores)} scores")
        each = [score(grades, scores, k) for grades, scores in zip(references, predictions, strict=True)]
        return mean(np.array(each, dtype=np.float64))

    return Metric(kind if k is None else f"{kind}@{k}", measure)
