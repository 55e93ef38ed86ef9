"""Weights stored value by value: float32, float16 or bfloat16.

numpy has no bfloat16, so those values are kept as their 16 bits in uint16 and widened by a shift.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


DenseType = Literal["float32", "float16", "bfloat16"]
_STORAGE: dict[DenseType, str] = {"float32": "float32", "float16": "float16", "bfloat16": "uint16"}
_BYTES: dict[DenseType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


def bfloat16_to_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Widens bfloat16 bits; exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def float32_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds to the nearest bfloat16, ties to even; NaN stays NaN (quieted)."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)


@dataclass(frozen=True)
class Dense:
    """`values` has the storage type of `dtype` (uint16 bits for bfloat16) and the logical shape."""

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint16]
    dtype: DenseType

    def __post_init__(self) -> None:
        if self.values.dtype != _STORAGE[self.dtype]:
            raise TypeError(f"{self.dtype} is stored as {_STORAGE[self.dtype]}, not {self.values.dtype}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes)

    @property
    def kind(self) -> str:
        return "dense"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        part = self.values[rows]
        if self.dtype == "bfloat16":
            return bfloat16_to_float32(np.ascontiguousarray(part, dtype=np.uint16))
        return part.astype(np.float32)


class MappedDense(Dense):
    """A weight whose values lie in a mapped file: `stored` is their bytes, and the array is made when it is asked for.

    A start that finds its weights packed asks for none.
    """

    stored: memoryview
    _shape: tuple[int, ...]

    def __init__(self, stored: memoryview, dtype: DenseType, shape: tuple[int, ...]) -> None:
        if len(stored) != _BYTES[dtype] * math.prod(shape):
            raise TypeError(f"{dtype} {shape} takes {_BYTES[dtype] * math.prod(shape)} bytes, not {len(stored)}")
        # The base class is frozen, and its own constructor would take the array.
        for name, value in {"stored": stored, "dtype": dtype, "_shape": shape}.items():
            object.__setattr__(self, name, value)

    @property
    def values(self) -> NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint16]:
        if not self.stored:  # numpy takes no empty buffer
            return np.empty(self.shape, _STORAGE[self.dtype])
        return np.frombuffer(self.stored, _STORAGE[self.dtype]).reshape(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def nbytes(self) -> int:
        return len(self.stored)
