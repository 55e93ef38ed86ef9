"""Factors and limits with which matrices lose least of their outputs when they are rounded (AWQ, Lin et al. 2023).

Of W [out, in], what it is rounded to and the Gram matrix H of what enters, the change of the outputs is
tr((W - Q) H (W - Q)^T). Where inputs are divided by factors that the columns of W are multiplied by, inputs that weigh
much are rounded more finely, at the cost of others in their group. Where the largest weights of a group are brought
nearer to the rest, all of them get a smaller step. Both are found by trying. Sums are float32 here, and the same for
the same matrices. Not here: where factors may move (`junctions.py`), and what a matrix is rounded to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Round = Callable[[Floats], Floats]
"""A matrix to what is left of it once it is encoded."""
STEPS = 20
"""Into which exponents from 0 to 1 are divided, as in the paper."""
LIMITS = tuple(1 - step / STEPS for step in range(STEPS // 2 + 1))
"""Shares of the largest weight of a group that are tried as its limit, as in the paper: from 1 down to a half."""
_SPREAD = 1e4
"""Between a factor and the mean of all, at most: beyond it float16 scales of a group would not hold both."""


@dataclass(frozen=True)
class Consumer:
    """A matrix [out, in] behind a junction, how it is rounded, and the inputs that share a scale."""

    weight: Floats
    round: Round
    group: int


def output_error(difference: Floats, gram: Floats) -> float:
    """tr(D H D^T) of the difference D [out, in] that rounding makes."""
    return float(np.sum((difference @ gram) * difference, dtype=np.float64))


def best_factors(
    consumers: Sequence[Consumer],
    gram: Wide,
    *,
    both: bool,
    at_producer: Callable[[Wide], Wide],
    at_consumers: Callable[[Wide], Wide],
) -> Floats:
    """A factor for each feature of what makes the inputs of all consumers, with which their outputs change least.

    The candidates are r^a for exponents a from 0 to 1, with r the root mean square of each input; with `both`, r^a /
    w^(1 - a) as well, where w is the mean over rows of each weight's share of the largest of its group. Among them are
    ones, so what is found is never worse than that. The paper takes the mean magnitude for r, which a Gram matrix does
    not tell; of normal inputs it is the same but for a constant. `at_producer` gives means over inputs that have one
    factor, `at_consumers` what each input has of the factors.
    """
    squares = at_producer(np.diag(gram).copy())
    live = squares > 0
    weights = at_producer(_shares(consumers)) if both else np.ones(len(squares))
    live &= weights > 0
    inputs = np.where(live, np.sqrt(np.where(live, squares, 1)), 1)
    weights = np.where(live, weights, 1)
    exponents = [step / STEPS for step in range(STEPS + 1)]
    candidates = [inputs**exponent for exponent in exponents]
    if both:
        candidates += [inputs**exponent / weights ** (1 - exponent) for exponent in exponents]
    scaled = _scaled(gram)
    best, least = np.ones(len(squares), np.float32), np.inf
    for candidate in candidates:
        factors = _centered(candidate, live)
        error, columns = 0.0, at_consumers(factors.astype(np.float64)).astype(np.float32)
        for consumer in consumers:
            left = consumer.round(consumer.weight * columns) / columns
            error += output_error(left - consumer.weight, scaled)
            if error >= least:
                break
        if error < least:
            best, least = factors, error
    return best


def best_limits(consumer: Consumer, gram: Wide) -> Floats | None:
    """The largest magnitude [out, groups] that each group of a matrix is to have; None where none is better than what
    it has. Each is found for its own inputs alone, and all together are kept only if the outputs change less."""
    weight, group = consumer.weight, consumer.group
    scaled, (height, width) = _scaled(gram), weight.shape
    count = width // group
    runs = weight.reshape(height, count, group)
    largest = np.abs(runs).max(axis=2)
    places = np.arange(width).reshape(count, group)
    blocks = scaled[places[:, :, None], places[:, None, :]]
    limits, least = largest, np.full((height, count), np.inf, np.float32)
    whole = np.inf
    for share in LIMITS:
        limit = largest * np.float32(share)
        left = consumer.round(clipped(weight, limit))
        difference = (left - weight).reshape(height, count, group).transpose(1, 0, 2)
        errors = np.sum(np.matmul(difference, blocks) * difference, axis=2).T
        if share == 1:
            whole = output_error(left - weight, scaled)
        better = errors < least
        limits, least = np.where(better, limit, limits), np.where(better, errors, least)
    together = output_error(consumer.round(clipped(weight, limits)) - weight, scaled)
    return limits if together < whole else None


def clipped(weight: Floats, limits: Floats) -> Floats:
    """A matrix [out, in] whose groups are brought within limits [out, groups]."""
    runs = weight.reshape(*limits.shape, -1)
    return np.clip(runs, -limits[:, :, None], limits[:, :, None]).reshape(weight.shape)


def _shares(consumers: Sequence[Consumer]) -> Wide:
    """Of each input, the mean over all rows of the share that its weight has of the largest one of the group."""
    total, rows = np.zeros(consumers[0].weight.shape[1]), 0
    for consumer in consumers:
        runs = np.abs(consumer.weight).reshape(len(consumer.weight), -1, consumer.group)
        largest = runs.max(axis=2, keepdims=True)
        shares = runs / np.where(largest > 0, largest, np.float32(1))
        total += shares.reshape(consumer.weight.shape).sum(axis=0, dtype=np.float64)
        rows += len(consumer.weight)
    return total / rows


def _centered(candidate: Wide, live: NDArray[np.bool_]) -> Floats:
    """With a geometric mean of 1, and 1 for features that are always zero."""
    logs = np.where(live, np.log(candidate), 0.0)
    if live.any():
        logs -= np.where(live, logs[live].mean(), 0.0)
    bound = np.log(_SPREAD)
    return np.asarray(np.exp(np.clip(logs, -bound, bound)), np.float32)


def _scaled(gram: Wide) -> Floats:
    """Over its mean diagonal, so that sums stay in range."""
    mean = float(np.diag(gram).mean())
    return np.asarray(gram / (mean if mean > 0 else 1.0), np.float32)
