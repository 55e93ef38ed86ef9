"""How many times as fast one system is as another, from runs that took turns.

The ratio is taken within each run, so that a machine that slows down for both changes nothing, and the interval is that
of their median by order statistics: exact, and without assumptions about how speeds scatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median over the runs, and an interval that holds the true median with `confidence`, which is the wanted
    0.95 or more only from six runs on; with fewer it is all that their least and greatest allow."""

    median: float
    low: float
    high: float
    confidence: float
    runs: int


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ours over theirs, run by run: values of one index are of the same run. ValueError where there are none."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    trim, confidence = _trim(len(ratios))
    return Ratio(median(ratios), ratios[trim], ratios[-1 - trim], confidence, len(ratios))


def _trim(count: int) -> tuple[int, float]:
    """How many values at each end lie outside the interval, and its confidence: the median of n values is between the
    (k+1)th and the (n-k)th unless at most k of them fall on one side of it."""
    if count < 1:
        raise ValueError("a ratio needs at least one run")
    chosen, outside = 0, 2 * 0.5**count
    for k in range(1, (count + 1) // 2):
        more = outside + 2 * comb(count, k) * 0.5**count
        if more > 1 - CONFIDENCE:
            break
        chosen, outside = k, more
    return chosen, max(0.0, 1.0 - outside)
