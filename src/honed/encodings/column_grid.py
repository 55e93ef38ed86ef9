"""The grid on which an encoded matrix lies, rounded to column by column.

Whoever rounds a matrix one input after the other, and carries the error of each into those that are left, needs the
scales of a matrix that is encoded already and codes of its own. Not here: where the scales come from (the encoders of
`encode.py`), and what becomes of the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from honed.encodings.codebook import Codebook
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8

Wide = NDArray[np.float64]
Gridded = Int8 | Int4 | Codebook
Codes = NDArray[Any]
"""uint8 or int8, as the encoding has them."""


class ColumnGrid(Protocol):
    """The grid of one matrix [out, in]."""

    def round(self, column: int, values: Wide) -> tuple[Codes, Wide]:
        """The nearest codes of a column [out], and what they decode to."""

    def encoded(self, codes: Codes) -> Gridded:
        """The matrix with other codes [out, in]."""


def column_grid(like: Gridded) -> ColumnGrid:
    """The grid of a matrix: its scales and offsets are kept, its codes are not looked at."""
    if isinstance(like, Codebook):
        return _Looked(like)
    return _Even(like)


def join_groups(parts: Sequence[Gridded], codes: Codes) -> Gridded:
    """Matrices of one group each, side by side, with codes [out, in] of their own."""
    scales: NDArray[Any] = np.hstack([part.scales.reshape(len(codes), -1) for part in parts])
    first = parts[0]
    if isinstance(first, Int4):
        found: list[NDArray[Any]] = [
            part.offsets for part in parts if isinstance(part, Int4) and part.offsets is not None
        ]
        offsets: NDArray[Any] | None = np.hstack(found) if found else None
        return replace(first, codes=codes, scales=scales, offsets=offsets)
    if isinstance(first, Int8):
        return replace(first, codes=codes, scales=scales)
    return replace(first, codes=codes, scales=scales)


class _Even:
    """int8 and int4: w = scale * (code - zero) + minimum, codes from `low` to `high`."""

    def __init__(self, like: Int8 | Int4) -> None:
        self._like = like
        rows = like.shape[0]
        self._scales = _by_group(like.scales, rows)
        self._divisors = np.where(self._scales == 0, 1.0, self._scales)
        self._zeros: Wide | float = 0.0
        self._minimums: Wide | float = 0.0
        if isinstance(like, Int8):
            self._low, self._high = -127, 127
        else:
            self._low, self._high = 0, 15
            if like.offset == "symmetric":
                self._zeros = 8.0
            elif like.offset == "minimum":
                self._minimums = _by_group(like.offsets, rows)
            else:
                self._zeros = _by_group(like.offsets, rows)

    def round(self, column: int, values: Wide) -> tuple[Codes, Wide]:
        group = 0 if self._like.group is None else column // self._like.group
        zeros = self._zeros if isinstance(self._zeros, float) else self._zeros[group]
        minimums = self._minimums if isinstance(self._minimums, float) else self._minimums[group]
        steps = np.rint((values - minimums) / self._divisors[group] + zeros)
        np.clip(steps, self._low, self._high, out=steps)
        decoded = self._scales[group] * (steps - zeros) + minimums
        return steps.astype(self._like.codes.dtype), decoded

    def encoded(self, codes: Codes) -> Gridded:
        if isinstance(self._like, Int8):
            return replace(self._like, codes=codes)
        return replace(self._like, codes=codes)


class _Looked:
    """Codebooks: w = scale * table[code]."""

    def __init__(self, like: Codebook) -> None:
        self._like = like
        self._scales = _by_group(like.scales, like.shape[0])
        self._divisors = np.where(self._scales == 0, 1.0, self._scales)
        self._values = like.values.astype(np.float64)
        self._borders = (self._values[1:] + self._values[:-1]) / 2

    def round(self, column: int, values: Wide) -> tuple[Codes, Wide]:
        group = column // self._like.group
        codes = np.searchsorted(self._borders, values / self._divisors[group]).astype(np.uint8)
        return codes, self._scales[group] * self._values[codes]

    def encoded(self, codes: Codes) -> Gridded:
        return replace(self._like, codes=codes)


def _by_group(of_rows: NDArray[np.generic] | None, rows: int) -> Wide:
    """[groups, out], each group behind the other."""
    assert of_rows is not None
    return np.ascontiguousarray(of_rows.reshape(rows, -1).T, dtype=np.float64)
