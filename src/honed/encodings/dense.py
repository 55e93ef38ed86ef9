"""Weights stored value by value: float32, float16 or bfloat16.

numpy has no bfloat16, so those values are kept as their 16 bits in uint16 and widened by a shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

DenseType = Literal["float32", "float16", "bfloat16"]
_STORAGE = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


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
            raise TypeError(f"{self.dtype} is stored as {_STORAGE[self.dtype].__name__}, not {self.values.dtype}")

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
