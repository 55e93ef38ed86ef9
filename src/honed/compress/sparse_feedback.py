"""Prunes a matrix input by input, and carries what each weight that becomes zero was worth into the inputs behind it
(SparseGPT: Frantar and Alistarh 2023, algorithm 1).

The factor of `error_feedback.py` tells both what a weight costs, w^2 / [H^-1] of the inputs that are left, and where
its loss moves. Which become zero is chosen for 128 inputs at once, of a pattern for each run when it is reached, by the
weights as moved so far. Sums are in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.compress.error_feedback import AT_ONCE, Feedback, Wide
from honed.compress.masks import Mask, least

Run = tuple[int, int]
"""N of each M inputs are left."""


def prune_with_feedback(
    weight: NDArray[np.float32], found: Feedback, *, share: float, run: Run | None
) -> tuple[NDArray[np.float32], Mask]:
    """W [out, in] with that share of it zero, or all but N of each M inputs, and which these are, [out, in].

    A pattern asks for inputs that are taken as they lie, and a width of whole runs.
    """
    rows, width = weight.shape
    order, factor = found.order, found.factor
    if run is not None and not np.array_equal(order, np.arange(width)):
        raise ValueError("a pattern needs inputs in their own order")
    moved = np.ascontiguousarray(weight.T[order], dtype=np.float64)
    costs = factor.diagonal()
    pruned = np.zeros((width, rows), np.bool_)
    step = AT_ONCE if run is None else AT_ONCE // run[1] * run[1]
    for first in range(0, width, step):
        last = min(first + step, width)
        if run is None:
            scores = np.abs(moved[first:last] / costs[first:last, None])
            # By counts from the start, so that parts of an odd size add up to the share of the whole.
            count = round(share * last * rows) - round(share * first * rows)
            pruned[first:last] = least(scores.reshape(1, -1), count).reshape(scores.shape)
        errors = np.empty((last - first, rows))
        for place in range(first, last):
            if run is not None and place % run[1] == 0:
                pruned[place : place + run[1]] = _of_run(moved[place : place + run[1]], costs[place:], run)
            error = np.where(pruned[place], moved[place] / factor[place, place], 0.0)
            moved[place + 1 : last] -= np.outer(factor[place, place + 1 : last], error)
            errors[place - first] = error
        moved[last:] -= factor[first:last, last:].T @ errors
    values, mask = np.empty_like(weight), np.empty(weight.shape, np.bool_)
    values[:, order], mask[:, order] = np.where(pruned, 0.0, moved).T, pruned.T
    return values, mask


def _of_run(moved: Wide, costs: Wide, run: Run) -> Mask:
    """Of [M, out] those that become zero, M - N of each output."""
    left, of = run
    scores = np.ascontiguousarray(np.abs(moved / costs[:of, None]).T)
    return least(scores, of - left).T
