"""Round-to-nearest int4 with a float minimum for each group: from the least to the largest value in fifteen steps.

Of the three offsets this one adapts most, and it is the one that 4-bit files of other tools (GGUF Q4_1) use: weights
that lie on such a grid come back exactly. The search tries narrower ranges and refits scale and minimum to the chosen
codes by least squares; what has the smallest squared error is kept for each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.grouping import Runs
from honed.errors import UnsupportedError

Floats = NDArray[np.float32]
_LARGEST = np.float32(15)
_SHRINKS = tuple(np.float32(factor) for factor in (0.98, 0.95, 0.92, 0.89, 0.86, 0.83, 0.8))
_REFITS = 2
_HALF_MAX = float(np.finfo(np.float16).max)


@dataclass
class Line:
    """value = scale * code + minimum for each run; both exactly representable in float16."""

    scales: Floats
    minimums: Floats


def fit_lines(runs: Runs, *, search: bool, name: str, counts: Runs | None = None) -> Line:
    """The line of each run; `counts`: what the squared error of each value counts. UnsupportedError naming the weight
    where values are beyond float16."""
    low, high = runs.min(axis=0), runs.max(axis=0)
    if max(float(high.max()), -float(low.min())) > _HALF_MAX:
        raise UnsupportedError(
            f"{name}: a value of magnitude {max(float(high.max()), -float(low.min())):.3g}: a float16 minimum goes to "
            f"{_HALF_MAX:g}; leave this weight dense in the recipe"
        )
    best = _covering(low, high)
    if not search:
        return best
    least = _squared_error(runs, best, counts)
    middle, reach = (low + high) / 2, (high - low) / 2
    for shrink in _SHRINKS:
        narrower = _covering(middle - shrink * reach, middle + shrink * reach)
        best, least = _better(best, least, narrower, _squared_error(runs, narrower, counts))
    for _ in range(_REFITS):
        refitted = _refitted(runs, best, counts)
        best, least = _better(best, least, refitted, _squared_error(runs, refitted, counts))
    return best


def nearest_codes(runs: Runs, line: Line) -> Floats:
    """Codes 0 to 15 as floats."""
    codes = runs - line.minimums
    codes /= np.where(line.scales == 0, np.float32(1), line.scales)
    np.rint(codes, out=codes)
    np.clip(codes, 0, _LARGEST, out=codes)
    return codes


def _covering(low: Floats, high: Floats) -> Line:
    minimums = _half(low)
    # The step is measured from the minimum as it is stored, so that the top of the range stays in reach.
    return Line(_half((high - minimums) / _LARGEST), minimums)


def _refitted(runs: Runs, line: Line, counts: Runs | None) -> Line:
    """Least squares of the values over their codes; a run of one code keeps its line."""
    codes = nearest_codes(runs, line)
    if counts is None:
        count: Floats | np.float32 = np.float32(runs.shape[0])
        code_mean, value_mean, counting = codes.mean(axis=0), runs.mean(axis=0), codes
    else:
        count = counts.sum(axis=0)
        counting, divisor = codes * counts, np.where(count > 0, count, np.float32(1))
        code_mean, value_mean = counting.sum(axis=0) / divisor, (runs * counts).sum(axis=0) / divisor
    spread = (counting * codes).sum(axis=0) - count * code_mean * code_mean
    slope = (counting * runs).sum(axis=0) - count * code_mean * value_mean
    slope /= np.where(spread > 0, spread, np.float32(1))
    fits = (spread > 0) & (slope > 0)
    scales = np.where(fits, _half(slope), line.scales)
    return Line(scales, np.where(fits, _half(value_mean - scales * code_mean), line.minimums))


def _better(best: Line, least: Floats, candidate: Line, error: Floats) -> tuple[Line, Floats]:
    wins = error < least
    kept = Line(np.where(wins, candidate.scales, best.scales), np.where(wins, candidate.minimums, best.minimums))
    return kept, np.where(wins, error, least)


def _squared_error(runs: Runs, line: Line, counts: Runs | None) -> Floats:
    values = nearest_codes(runs, line)
    values *= line.scales
    values += line.minimums
    values -= runs
    np.multiply(values, values, out=values)
    if counts is not None:
        values *= counts
    error: Floats = values.sum(axis=0)
    return error


def _half(values: Floats) -> Floats:
    with np.errstate(over="ignore", under="ignore"):
        stored = np.clip(values, -_HALF_MAX, _HALF_MAX).astype(np.float16)
    return stored.astype(np.float32)
