"""Which weights of a matrix become zero, by how much each matters: exactly as many as asked for, ties to the first.

A source that is on a grid of few bits has thousands of equal weights at any threshold, so counts decide and a
threshold alone does not. Not here: what a weight matters, which each pass says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def least(scores: Scores, count: int) -> Mask:
    """True for the `count` least of each row of [rows, n]; of equal ones those that come first."""
    rows, width = scores.shape
    if count <= 0:
        return np.zeros((rows, width), np.bool_)
    if count >= width:
        return np.ones((rows, width), np.bool_)
    border = np.partition(scores, count - 1, axis=1)[:, count - 1 : count]
    chosen: Mask = scores < border
    equal = scores == border
    missing = count - chosen.sum(axis=1, keepdims=True)
    chosen |= equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= missing)
    return chosen


def least_of_rows(scores: Scores, share: float) -> Mask:
    """That share of each row."""
    return least(scores, round(share * scores.shape[1]))


def least_of_all(scores: Scores, share: float) -> Mask:
    """That share of the whole matrix."""
    return least(scores.reshape(1, -1), round(share * scores.size)).reshape(scores.shape)


def least_of_runs(scores: Scores, left: int, of: int) -> Mask:
    """All but `left` of each run of `of` inputs of a row, whose width is a multiple of that."""
    return least(scores.reshape(-1, of), of - left).reshape(scores.shape)
