"""The sixteen values that fit given weights best: what a codebook that is learned has for a table.

Lloyd's algorithm in one dimension under a scale for each group: codes to the nearest value, values to the mean of what
they stand for, scales to the least squares of both, by turns, each error counted by the importance of its input. It
begins with the quantiles of a normal distribution and with even steps, and the result is never worse than these on the
weights that it is fitted to, which are a sample. Counting by importance: Kim et al. 2024, "SqueezeLLM", there by
gradients and without groups.

Not here: how a weight is encoded with a table (`codebook_encoder.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES, Table
from honed.encodings.codebook_encoder import TableRounding
from honed.encodings.grouping import Importance, Runs, as_runs, counted, matrix_shape

SAMPLE = 1 << 16
"""Values of all weights together that a table is fitted to: four thousand for each of sixteen means."""
_STARTS = (TABLES["normal_float"], tuple(round(-127 + 254 / 15 * step) for step in range(16)))
"""What is reached depends on it: the means of even steps stay far from those of a normal distribution."""
_TURNS = 24
_LARGEST = 127
Values = NDArray[np.float64]


def fit_table(weights: Sequence[Encoded], group: int, *, name: str, importance: Importance | None = None) -> Table:
    """The table for matrices [out, in] of one width that are to share it. Deterministic.

    Errors name the weight: UnsupportedError for magnitudes beyond a float16 scale, and for what is no matrix.
    """
    runs, counts = _sample(weights, group, importance, name)
    reached = [_fitted(start, runs, counts, name) for start in _STARTS]
    return min(reached, key=lambda one: one[0])[1]


def _fitted(start: Table, runs: Runs, counts: Runs | None, name: str) -> tuple[float, Table]:
    """The error and the table that is reached from one, which are its own where none is better."""
    least, scales = _error(start, runs, counts, name)
    table = start
    for _ in range(_TURNS):
        found = _means(table, runs, scales, counts)
        if found == table:
            break
        # The scales follow, since the largest value is what it was whatever became of the others.
        table, scales = found, TableRounding(found).refitted(runs, scales, counts)
    error, _ = _error(table, runs, counts, name)
    return min((error, table), (least, start))


def _sample(
    weights: Sequence[Encoded], group: int, importance: Importance | None, name: str
) -> tuple[Runs, Runs | None]:
    """Whole rows that lie evenly over each matrix, and what each of their values counts."""
    shapes = [matrix_shape(weight, name) for weight in weights]
    total = sum(rows * width for rows, width in shapes)
    parts, every = [], max(1, -(-total // SAMPLE))
    for weight, (rows, _) in zip(weights, shapes, strict=True):
        parts += [weight.decode(slice(row, row + 1)) for row in range(0, rows, every)]
    values = np.concatenate(parts)
    return as_runs(values, group), counted(importance, len(values), group)


def _error(table: Table, runs: Runs, counts: Runs | None, name: str) -> tuple[float, NDArray[np.float32]]:
    """With the scales of least error, and these."""
    rounding = TableRounding(table)
    scales = rounding.searched(runs, rounding.covering(runs, name), counts)
    return float(rounding.squared_error(runs, scales, counts).sum(dtype=np.float64)), scales


def _means(table: Table, runs: Runs, scales: NDArray[np.float32], counts: Runs | None) -> Table:
    """What each value had best be for the weights that are nearest to it now, the largest of them 127."""
    codes = TableRounding(table).codes(runs, scales).ravel()
    weighted = np.broadcast_to(scales, runs.shape) if counts is None else scales * counts
    above = np.bincount(codes, (weighted * runs).ravel(), minlength=len(table))
    below = np.bincount(codes, (weighted * scales).ravel(), minlength=len(table))
    means: Values = np.where(below > 0, above / np.where(below > 0, below, 1), np.array(table, np.float64))
    means.sort()
    largest = float(np.abs(means).max())
    return tuple(int(value) for value in np.rint(means * (_LARGEST / largest))) if largest > 0 else table
