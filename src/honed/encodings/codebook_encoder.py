"""Round-to-nearest onto the values of a codebook, and the search for the scale of least error in each group.

A scale that covers the whole group is seldom the best one at 4 bits. The search tries smaller ones, both signs where
the table is not symmetric, and refits the scale to the chosen codes by least squares, keeping for each group what has
the smallest squared error. Everything is per group, so the result does not depend on chunks or threads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook, Table, check_table
from honed.encodings.grouping import Importance, Runs, as_rows, counted, covering_scales, for_each_chunk, matrix_shape
from honed.encodings.groups import GROUPS
from honed.errors import ParameterError

Scales = NDArray[np.float32]
_SHRINKS = tuple(np.float32(factor) for factor in (1, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76))
_REFITS = 2
_HALVES = np.float32(2 * 129)  # beyond every border of int8 values
_HALF_MAX = float(np.finfo(np.float16).max)


def encode_codebook(
    weight: Encoded,
    *,
    name: str,
    table: Table,
    group: int = 32,
    search: bool = True,
    importance: Importance | None = None,
    activation: ActivationScales | None = None,
    threads: int = 1,
) -> Codebook:
    """Encodes a matrix with a float16 scale for each `group` inputs of a row.

    Every code is the nearest one under the scale of its group; with `search` the squared error of each group, each
    weight counted by the `importance` of its input, is never larger than without. A scale may be negative, so that the
    longer side of the table meets the longer side of the group. Errors name the weight: UnsupportedError for NaN,
    infinity or magnitudes beyond a float16 scale.
    """
    check_table(table)
    if group not in GROUPS:
        raise ParameterError("codebook group", group, "must be 32, 64 or 128")
    height, width = matrix_shape(weight, name)
    codes = np.empty((height, width), np.uint8)
    scales = np.empty((height, -(-width // group)), np.float16)
    rounding = TableRounding(table)

    def encode(rows: slice, runs: Runs) -> None:
        found = rounding.covering(runs, name)
        if search:
            found = rounding.searched(runs, found, counted(importance, rows.stop - rows.start, group))
        codes[rows] = as_rows(rounding.codes(runs, found), rows.stop - rows.start, width)
        scales[rows] = found.reshape(rows.stop - rows.start, -1)

    for_each_chunk(weight, group, encode, name=name, threads=threads)
    return Codebook(codes, scales, table, group, activation or ActivationScales())


class TableRounding:
    """Rounding of runs, [run, count], onto one table; scales [count] are exactly representable in float16."""

    def __init__(self, table: Table) -> None:
        self._values = np.array(table, dtype=np.float32)
        self._symmetric = table[0] == -table[-1]
        # The borders between integers are whole halves, so the half that a quotient lies in names its code.
        borders = (self._values[1:] + self._values[:-1]) / 2
        halves = np.arange(-_HALVES, _HALVES + 1) / 2
        self._codes = np.searchsorted(borders, halves).astype(np.uint8)
        self._nearest = self._values[self._codes]

    def covering(self, runs: Runs, name: str) -> Scales:
        """The smallest scale of either sign under which no value is beyond the table."""
        top, bottom = self._sides()
        high, low = np.maximum(runs.max(axis=0), 0), np.maximum(-runs.min(axis=0), 0)
        upright = np.maximum(high / top, low / bottom)
        mirrored = np.maximum(high / bottom, low / top)
        # What is over by less than half of the smallest step still rounds to the outermost value.
        reach = 1 + 0.5 / float(max(top, bottom))
        size = covering_scales(np.minimum(upright, mirrored), 1, reach, np.float16, name=name).astype(np.float32)
        return np.where(mirrored < upright, -size, size)

    def searched(self, runs: Runs, start: Scales, counts: Runs | None) -> Scales:
        best, least = start, self.squared_error(runs, start, counts)
        for candidate in self._candidates(start):
            best, least = _better(best, least, candidate, self.squared_error(runs, candidate, counts))
        for _ in range(_REFITS):
            refitted = self.refitted(runs, best, counts)
            best, least = _better(best, least, refitted, self.squared_error(runs, refitted, counts))
        return best

    def codes(self, runs: Runs, scales: Scales) -> NDArray[np.uint8]:
        return self._codes[_halves(runs, scales)]

    def _sides(self) -> tuple[np.float32, np.float32]:
        """The reach of the table above and below zero; a side that it lacks counts as a sliver, never to be chosen."""
        sliver = np.float32(2.0**-10)
        return np.maximum(self._values[-1], sliver), np.maximum(-self._values[0], sliver)

    def _candidates(self, start: Scales) -> Iterator[Scales]:
        for shrink in _SHRINKS:
            scales = _rounded(start * shrink)
            yield scales
            if not self._symmetric:
                yield -scales

    def refitted(self, runs: Runs, scales: Scales, counts: Runs | None) -> Scales:
        chosen = self._nearest[_halves(runs, scales)]
        counting = chosen if counts is None else chosen * counts
        weight = (counting * chosen).sum(axis=0)
        fitted = (counting * runs).sum(axis=0) / np.where(weight == 0, np.float32(1), weight)
        return _rounded(np.where(weight == 0, scales, fitted))

    def squared_error(self, runs: Runs, scales: Scales, counts: Runs | None) -> Scales:
        values = self._nearest[_halves(runs, scales)]
        values *= scales
        values -= runs
        np.multiply(values, values, out=values)
        if counts is not None:
            values *= counts
        error: Scales = values.sum(axis=0)
        return error


def _better(best: Scales, least: Scales, candidate: Scales, error: Scales) -> tuple[Scales, Scales]:
    wins = error < least
    return np.where(wins, candidate, best), np.where(wins, error, least)


def _halves(runs: Runs, scales: Scales) -> NDArray[np.int16]:
    """Of each quotient the half above it, counted from the lowest: a place in the tables of `TableRounding`."""
    places = runs * (np.float32(2) / np.where(scales == 0, np.float32(1), scales))
    np.ceil(places, out=places)
    np.clip(places, -_HALVES, _HALVES, out=places)
    places += _HALVES
    return places.astype(np.int16)


def _rounded(scales: Scales) -> Scales:
    with np.errstate(over="ignore", under="ignore"):
        stored = np.clip(scales, -_HALF_MAX, _HALF_MAX).astype(np.float16)
    return stored.astype(np.float32)
