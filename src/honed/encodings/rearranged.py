"""Rows of a weight as a weight of their own: of several that lie in one tensor, or of a matrix that lies transposed.

Rows that lie together stay in the file that they are mapped from; others are put in order each time that they are asked
for, a range of them at a time, and never kept. Not here: which tensors hold what, which families say
(`models/stored.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType, MappedDense
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ITEM: dict[DenseType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class RowRuns:
    """Which rows of a tensor: `count` runs of `length` rows, the first beginning at row `first`, each `stride` rows
    behind the one before."""

    first: int
    length: int
    count: int = 1
    stride: int = 0

    @property
    def rows(self) -> int:
        return self.length * self.count

    @property
    def end(self) -> int:
        """The row behind the last one."""
        return self.first + (self.count - 1) * self.stride + self.length

    @property
    def together(self) -> bool:
        """Whether they lie behind each other."""
        return self.count == 1 or self.stride == self.length

    def numbers(self, rows: slice = slice(None)) -> NDArray[np.intp]:
        """The number in the tensor of each of them, or of some."""
        asked = np.arange(self.rows, dtype=np.intp)[rows]
        found: NDArray[np.intp] = self.first + asked // self.length * self.stride + asked % self.length
        return found


class RearrangedDense(Dense):
    """Rows of a dense tensor, or columns of one that lies transposed.

    `source`: a vector or matrix. With `transposed` its columns are the rows of this one.
    """

    source: Dense
    runs: RowRuns
    transposed: bool

    def __init__(self, source: Dense, runs: RowRuns, *, transposed: bool = False) -> None:
        if transposed and len(source.shape) != 2:
            raise TypeError(f"a tensor of shape {source.shape} cannot lie transposed")
        if runs.end > source.shape[1 if transposed else 0]:
            raise TypeError(f"rows up to {runs.end} are not in a tensor of shape {source.shape}")
        # The base class is frozen, and its own constructor would take the array.
        for name, value in {"source": source, "runs": runs, "transposed": transposed, "dtype": source.dtype}.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.runs.rows, *(self.source.shape[:1] if self.transposed else self.source.shape[1:]))

    @property
    def values(self) -> NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint16]:
        return self.part(slice(None)).values

    def part(self, rows: slice) -> Dense:
        numbers = self.runs.numbers(rows)
        stored: NDArray[Any] = self.source.values
        chosen = stored[:, numbers].T if self.transposed else stored[numbers]
        return Dense(np.ascontiguousarray(chosen), self.dtype)

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.part(rows).decode()


class AddedDense(Dense):
    """A float32 vector or matrix: `source` plus `added`, summed in float32 each time that it is asked for."""

    source: Encoded
    added: float

    def __init__(self, source: Encoded, added: float) -> None:
        # As above.
        for name, value in {"source": source, "added": added, "dtype": "float32"}.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def values(self) -> NDArray[np.float32]:
        return self.decode()

    def part(self, rows: slice) -> Dense:
        return Dense(self.decode(rows), "float32")

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.source.decode(rows) + np.float32(self.added)


@runtime_checkable
class TakesRows(Encoded, Protocol):
    """An encoding of which whole rows are a weight in the same encoding."""

    def rows_at(self, numbers: NDArray[np.intp]) -> Encoded:
        """Those rows, in that order."""


@runtime_checkable
class HoldsMatrices(Encoded, Protocol):
    """An encoding that can hold several matrices behind each other."""

    def matrix(self, number: int) -> Encoded:
        """One of them."""


def rearranged(weight: Encoded, runs: RowRuns | None, *, transposed: bool = False) -> Encoded:
    """Rows of a weight, or of the transpose of one; with no `runs` all of them.

    Dense weights stay dense and whole rows of codes stay codes; what lies transposed in an encoding of codes is decoded
    to float32, since the groups of its scales run the other way. TypeError where the rows are not there.
    """
    across = weight.shape[1 if transposed else 0]
    runs = runs or RowRuns(0, across)
    if runs.end > across:
        raise TypeError(f"rows up to {runs.end} are not in a weight of shape {weight.shape}")
    if not transposed and runs == RowRuns(0, across):
        return weight
    if isinstance(weight, MappedDense) and runs.together and not transposed:
        width = weight.shape[1] if len(weight.shape) == 2 else 1
        item = _ITEM[weight.dtype] * width
        stored = weight.stored[runs.first * item : (runs.first + runs.rows) * item]
        return MappedDense(stored, weight.dtype, (runs.rows, *weight.shape[1:]))
    if isinstance(weight, Dense):
        return RearrangedDense(weight, runs, transposed=transposed)
    if not transposed and len(weight.shape) == 2 and isinstance(weight, TakesRows):
        return weight.rows_at(runs.numbers())
    return RearrangedDense(Dense(weight.decode(), "float32"), runs, transposed=transposed)


def matrix_of(weight: Encoded, number: int) -> Encoded:
    """A matrix of several behind each other, or a vector: `weight` is [matrices, out, in], or [vectors, n]."""
    shape = weight.shape[1:]
    if isinstance(weight, MappedDense):
        item = _ITEM[weight.dtype] * math.prod(shape)
        return MappedDense(weight.stored[number * item : (number + 1) * item], weight.dtype, shape)
    if isinstance(weight, Dense):
        return Dense(weight.values[number], weight.dtype)
    if isinstance(weight, HoldsMatrices):
        return weight.matrix(number)
    raise TypeError(f"{weight.kind} cannot hold a tensor of shape {weight.shape}")
