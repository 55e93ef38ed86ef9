"""top_k, top_p and min_p over the logits of one row, and the draw from what they leave.

Not here: what is done to the logits before (`sampling.py`). The native executor does all of this to the bit the same
(`native/choosing/`): sums go one by one, in the order that is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from honed.lazy_imports import numpy as np
from honed.runtime.exponential import exp_nonpositive

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEAD = 256
"""Tokens that nucleus sampling sorts first; the nucleus of a language model seldom has more."""


class Filters(Protocol):
    """The settings: those of `Sampling` and of `RowChoice`."""

    @property
    def temperature(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...


def candidates(
    logits: NDArray[np.float32], settings: Filters, ids: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ids that the filters keep, ascending, and their weights: probabilities up to a common factor, the largest 1.

    ids: those that may be chosen, ascending, one at least; None: all. Among equal logits the lower id counts as the
    larger, so that exactly top_k remain. The nucleus of top_p is the shortest run of the most probable whose
    probabilities sum to top_p at least; min_p is relative to the largest.
    """
    if ids is None:
        ids = np.arange(logits.size)
    if 0 < settings.top_k < ids.size:
        ids = ids[largest(logits[ids], settings.top_k)]
    kept = logits[ids].astype(np.float64)
    # The maximum goes first: divided by a small temperature the differences stay finite, the logits may not.
    with np.errstate(over="ignore"):
        weights = exp_nonpositive((kept - kept.max()) / settings.temperature)
    if settings.top_p < 1:
        inside = _nucleus(weights, settings.top_p)
        ids, weights = ids[inside], weights[inside]
    if settings.min_p > 0:
        likely = weights >= settings.min_p
        ids, weights = ids[likely], weights[likely]
    return ids, weights


def draw(weights: NDArray[np.float64], uniform: float) -> int:
    """Index with probability in proportion to its weight: the inverse of the distribution function."""
    mass = np.cumsum(weights)
    return min(int(np.searchsorted(mass, uniform * mass[-1], side="right")), weights.size - 1)


def largest(values: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest, ascending; among equals the first."""
    threshold = np.partition(values, values.size - count)[values.size - count]
    above = np.flatnonzero(values > threshold)
    equal = np.flatnonzero(values == threshold)[: count - above.size]
    return np.sort(np.concatenate([above, equal]))


def _nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.intp]:
    """Indices, ascending, of the nucleus. Sorts only a head of the weights, larger each time that it was too small."""
    # cumsum adds one by one; sum would add in an order that depends on the instruction set.
    target = top_p * float(np.cumsum(weights)[-1])
    size = min(_HEAD, weights.size)
    while True:
        head = largest(weights, size) if size < weights.size else np.arange(weights.size)
        order = head[np.argsort(-weights[head], kind="stable")]
        mass = np.cumsum(weights[order])
        if mass[-1] >= target or size == weights.size:
            length = int(np.searchsorted(mass, target)) + 1
            return np.sort(order[:length])
        size = min(size * 8, weights.size)
