"""Intervals and paired tests of metrics, by drawing examples with replacement.

Both models are judged on the same draws, so that the interval of their gap is about the gap. Not here: text, whose
tokens are no independent examples (`bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np

from honed.evaluate.bootstrap import CONFIDENCE, RESAMPLES, Estimate
from honed.evaluate.metrics.base import Bool, Float64, Measured

_BLOCK_VALUES = 1 << 22
"""Weights held at a time."""


@dataclass(frozen=True)
class Draws:
    """How intervals are made. The same seed gives the same intervals."""

    resamples: int = RESAMPLES
    confidence: float = CONFIDENCE
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """A metric of a model, and of its reference where there is one.

    gap: the model's less the reference's. p: of the paired bootstrap, two-sided: how likely so large a gap would be if
    there were none. mcnemar: McNemar's exact test of examples that only one of them has right, where the metric says
    which are.
    """

    value: Estimate
    reference: Estimate | None = None
    gap: Estimate | None = None
    p: float | None = None
    mcnemar: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what there is."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def compare_metrics(
    ours: Mapping[str, Measured], theirs: Mapping[str, Measured] | None, draws: Draws
) -> dict[str, Result]:
    """Results by metric. theirs: the reference's, of the same examples; None where there is none."""
    values: dict[str, list[Float64]] = {name: [] for name in ours}
    others: dict[str, list[Float64]] = {name: [] for name in ours}
    examples = next(iter(ours.values())).n
    for weights in weight_blocks(examples, draws):
        for name, measured in ours.items():
            values[name].append(measured.of(weights))
            if theirs is not None:
                others[name].append(theirs[name].of(weights))
    return {
        name: _result(
            measured,
            np.concatenate(values[name]),
            None if theirs is None else (theirs[name], np.concatenate(others[name])),
            draws.confidence,
        )
        for name, measured in ours.items()
    }


def weight_blocks(examples: int, draws: Draws) -> Iterator[Float64]:
    """How often each example is in each resample: arrays [some, examples], all resamples together."""
    generator = np.random.default_rng(draws.seed)
    rows = max(1, _BLOCK_VALUES // examples)
    for first in range(0, draws.resamples, rows):
        count = min(rows, draws.resamples - first)
        drawn = generator.integers(examples, size=(count, examples))
        drawn += np.arange(count)[:, None] * examples
        yield np.bincount(drawn.reshape(-1), minlength=count * examples).reshape(count, examples).astype(np.float64)


def gap_interval(values: Float64, draws: Draws) -> Estimate:
    """The mean of values [n], and its interval."""
    resampled = np.concatenate([weights @ values for weights in weight_blocks(len(values), draws)]) / len(values)
    return _estimate(float(values.mean()), resampled, draws.confidence)


def mcnemar(ours: Bool, theirs: Bool) -> float:
    """How likely it is that of the examples which one model has right and the other wrong, the shares differ so much,
    if each goes to either by even chance (McNemar 1947, by the exact binomial)."""
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    total = only_ours + only_theirs
    tail = sum(comb(total, i) for i in range(min(only_ours, only_theirs) + 1))
    return min(1.0, float(2 * Fraction(tail, 2**total)))


def paired_p(gaps: Float64) -> float:
    """Twice the share of resampled gaps on the rarer side of 0, itself included; never 0, which no number of draws
    shows."""
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) == 0:
        return 1.0
    rarer = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(gaps) + 1))


def _result(
    measured: Measured, values: Float64, reference: tuple[Measured, Float64] | None, confidence: float
) -> Result:
    value = _estimate(measured.value, values, confidence)
    if reference is None:
        return Result(value)
    theirs, others = reference
    gaps = values - others
    both = measured.right is not None and theirs.right is not None
    return Result(
        value,
        _estimate(theirs.value, others, confidence),
        _estimate(measured.value - theirs.value, gaps, confidence),
        paired_p(gaps),
        mcnemar(measured.right, theirs.right) if both else None,  # type: ignore[arg-type]
    )


def _estimate(value: float, resampled: Float64, confidence: float) -> Estimate:
    """A resample in which a metric has no value (an area where only one class was drawn) says nothing."""
    resampled = resampled[np.isfinite(resampled)]
    if len(resampled) == 0:
        return Estimate(value, value, value)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))
