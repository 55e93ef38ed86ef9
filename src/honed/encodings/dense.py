"""Weights stored value by value: float32, float16 or bfloat16.

numpy has no bfloat16, so those values are kept as their 16 bits in uint16 and widened by a shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from honed.encodings.descriptor import DenseDtype, DensePolicy, Part, PartType, kernels_of
from honed.errors import ParameterError
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


DenseType = Literal["float32", "float16", "bfloat16"]
_STORAGE: dict[DenseType, str] = {"float32": "float32", "float16": "float16", "bfloat16": "uint16"}
_BYTES: dict[DenseType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
_PARTS: dict[DenseType, PartType] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


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
class DenseFormat:
    """Multiplied in float32, from values of this type."""

    name: ClassVar[str] = "dense"
    quantizes: ClassVar[bool] = kernels_of(name).quantizes
    looked_up: ClassVar[bool] = kernels_of(name).looked_up
    activation_group: ClassVar[None] = None

    dtype: DenseDtype

    @property
    def label(self) -> str:
        return self.dtype

    def packed_bytes(self, columns: int, k: int) -> int:
        return _BYTES[self.dtype] * columns * k

    def __str__(self) -> str:
        return self.dtype


@dataclass(frozen=True)
class DenseScheme:
    """Value by value, in `dtype`; on disk one tensor of that type."""

    name: ClassVar[str] = "dense"

    dtype: DenseType

    def nbytes(self, shape: tuple[int, ...]) -> int:
        return _BYTES[self.dtype] * math.prod(shape)

    def run_as(self, policy: DensePolicy) -> DenseFormat:
        if policy != "auto":
            return DenseFormat(policy)
        return DenseFormat("float32" if self.dtype == "float32" else "bfloat16")

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return (Part("", _PARTS[self.dtype], shape),)

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], NDArray[Any]]) -> Dense:
        return Dense(tensor(""), self.dtype)

    def as_json(self) -> dict[str, Any]:
        return {"dtype": self.dtype}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DenseScheme:
        dtype = fields.get("dtype")
        if dtype not in _BYTES:
            raise ParameterError("dtype", dtype, f"must be one of {', '.join(_BYTES)}")
        return cls(dtype)

    def __str__(self) -> str:
        return f"dense {self.dtype}"


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
    def scheme(self) -> DenseScheme:
        return DenseScheme(self.dtype)

    @property
    def nbytes(self) -> int:
        return self.scheme.nbytes(self.shape)

    @property
    def kind(self) -> str:
        return DenseScheme.name

    def run_as(self, policy: DensePolicy) -> DenseFormat:
        return self.scheme.run_as(policy)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return {"value": self.values}

    def parts(self) -> dict[str, NDArray[Any]]:
        return {"": self.values}

    def part(self, rows: slice) -> Dense:
        """Some rows as a weight of their own."""
        return Dense(self.values[rows], self.dtype)

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
