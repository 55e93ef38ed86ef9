"""What a tensor of a safetensors file is, before the file is written: name, type and shape."""

from __future__ import annotations

import math

from honed.encodings.descriptor import Part, PartType
from honed.records import dataclass

_SIZES: dict[PartType, int] = {"I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True)
class TensorSpec:
    """One entry of a header, without its offsets."""

    name: str
    dtype: PartType
    shape: tuple[int, ...]

    @classmethod
    def of(cls, weight: str, part: Part) -> TensorSpec:
        """One of the tensors that the weight of that name becomes."""
        return cls(weight + part.suffix, part.dtype, part.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * _SIZES[self.dtype]
