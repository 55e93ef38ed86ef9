"""Round-to-nearest int4 in groups, and the search for the range of least error.

At 4 bits the range that covers a whole group is seldom the best one: a smaller step gains more over 32 values than
clipping the largest costs. The search tries shrunk and shifted ranges and then refits the scale to the chosen codes
by least squares, keeping for each group what has the smallest squared error. Everything is per group, so the result
does not depend on chunks or threads. Groups with a float minimum are fitted in `int4_minimum.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.grouping import Importance, Runs, as_rows, counted, covering_scales, for_each_chunk, matrix_shape
from honed.encodings.groups import GROUPS
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int4_minimum import fit_lines, nearest_codes
from honed.errors import ParameterError

Scales = NDArray[np.float32]
Zeros = NDArray[np.float32]
_LARGEST = 15
_MIDDLE = 8
_SHRINKS = tuple(np.float32(factor) for factor in (1.04, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76))
_REFITS = 2


@dataclass
class _Range:
    """Scale (exactly representable in float16) and zero point of each run."""

    scales: Scales
    zeros: Zeros


def encode_int4(
    weight: Encoded,
    *,
    name: str,
    group: int = 32,
    offset: Offset = "zero_point",
    search: bool = True,
    importance: Importance | None = None,
    activation: ActivationScales | None = None,
    threads: int = 1,
) -> Int4:
    """Encodes a matrix with a float16 scale and an offset of the kind asked for, for each `group` inputs of a row.

    Without `search` every value inside the range of its group decodes to within half a scale; with it the squared
    error of each group, each weight counted by the `importance` of its input, is never larger than without. A symmetric
    scale may be negative, so that the value of largest magnitude always takes the code 0 (-8). Errors name the weight:
    UnsupportedError for NaN, infinity or magnitudes beyond a float16 scale.
    """
    if group not in GROUPS:
        raise ParameterError("int4 group", group, "must be 32, 64 or 128")
    height, width = matrix_shape(weight, name)
    groups = -(-width // group)
    codes = np.empty((height, width), np.uint8)
    scales = np.empty((height, groups), np.float16)
    offsets: NDArray[np.uint8] | NDArray[np.float16] | None = None
    if offset == "zero_point":
        offsets = np.empty((height, groups), np.uint8)
    elif offset == "minimum":
        offsets = np.empty((height, groups), np.float16)
        # The zeros that fill a short last group are off the line of its values, and a search would count them.
        search = search and width % group == 0

    def encode(rows: slice, runs: Runs) -> None:
        counts = counted(importance, rows.stop - rows.start, group)
        if offset == "minimum":
            line = fit_lines(runs, search=search, counts=counts, name=name)
            of_runs, chosen, shifts = nearest_codes(runs, line), line.scales, line.minimums
        else:
            found = _symmetric_range(runs, name) if offset == "symmetric" else _zero_point_range(runs, name)
            if search:
                found = _search(runs, found, offset == "symmetric", counts)
            of_runs, chosen, shifts = _nearest(runs, found), found.scales, found.zeros
        of_rows = rows.stop - rows.start
        codes[rows] = as_rows(of_runs.astype(np.uint8), of_rows, width)
        scales[rows] = chosen.reshape(of_rows, groups)
        if offsets is not None:
            offsets[rows] = shifts.reshape(of_rows, groups)

    for_each_chunk(weight, group, encode, name=name, threads=threads)
    return Int4(codes, scales, offsets, group, activation or ActivationScales())


def _symmetric_range(runs: Runs, name: str) -> _Range:
    high, low = runs.max(axis=0), runs.min(axis=0)
    size = covering_scales(np.maximum(high, -low), _MIDDLE, _MIDDLE + 0.5, np.float16, name=name).astype(np.float32)
    return _Range(np.where(high > -low, -size, size), np.full(size.shape, _MIDDLE, np.float32))


def _zero_point_range(runs: Runs, name: str) -> _Range:
    # Zero stays inside the range: it must be exact, and the zero point must fit the code.
    high, low = np.maximum(runs.max(axis=0), 0), np.minimum(runs.min(axis=0), 0)
    with np.errstate(over="ignore"):
        scales = covering_scales(high - low, _LARGEST, _LARGEST, np.float16, name=name).astype(np.float32)
    zeros = np.rint(-low / _divisors(scales))
    zeros[scales == 0] = _MIDDLE
    return _Range(scales, np.clip(zeros, 0, _LARGEST))


def _search(runs: Runs, start: _Range, symmetric: bool, counts: Runs | None) -> _Range:
    best, least = start, _squared_error(runs, start, counts)
    for candidate in _candidates(start, symmetric):
        best, least = _better(best, least, candidate, _squared_error(runs, candidate, counts))
    for _ in range(_REFITS):
        refitted = _refitted(runs, best, counts)
        best, least = _better(best, least, refitted, _squared_error(runs, refitted, counts))
    return best


def _candidates(start: _Range, symmetric: bool) -> Iterator[_Range]:
    for shrink in (np.float32(1), *_SHRINKS):
        scales = _rounded(start.scales * shrink)
        if symmetric:
            yield _Range(scales, start.zeros)
            yield _Range(-scales, start.zeros)
            continue
        # The same zero point clips both ends alike; its neighbours keep more of one of them.
        for shift in (np.float32(0), np.float32(-1), np.float32(1)):
            yield _Range(scales, np.clip(start.zeros + shift, 0, _LARGEST))


def _refitted(runs: Runs, found: _Range, counts: Runs | None) -> _Range:
    steps = _nearest(runs, found) - found.zeros
    counting = steps if counts is None else steps * counts
    weight = (counting * steps).sum(axis=0)
    fitted = (counting * runs).sum(axis=0) / np.where(weight == 0, 1, weight)
    return _Range(_rounded(np.where(weight == 0, found.scales, fitted)), found.zeros)


def _better(best: _Range, least: Scales, candidate: _Range, error: Scales) -> tuple[_Range, Scales]:
    wins = error < least
    return (
        _Range(np.where(wins, candidate.scales, best.scales), np.where(wins, candidate.zeros, best.zeros)),
        np.where(wins, error, least),
    )


def _squared_error(runs: Runs, candidate: _Range, counts: Runs | None) -> Scales:
    values = _nearest(runs, candidate)
    values -= candidate.zeros
    values *= candidate.scales
    values -= runs
    np.multiply(values, values, out=values)
    if counts is not None:
        values *= counts
    error: Scales = values.sum(axis=0)
    return error


def _nearest(runs: Runs, found: _Range) -> NDArray[np.float32]:
    codes = runs / _divisors(found.scales)
    np.rint(codes, out=codes)
    codes += found.zeros
    np.clip(codes, 0, _LARGEST, out=codes)
    return codes


def _divisors(scales: Scales) -> Scales:
    return np.where(scales == 0, np.float32(1), scales)


def _rounded(scales: Scales) -> Scales:
    with np.errstate(over="ignore", under="ignore"):
        stored = np.clip(scales, -65504, 65504).astype(np.float16)
    return stored.astype(np.float32)
