"""int4 weights in groups along the input, with int8 activations.

weight = scale * (code - zero), code in 0..15. The scale is a float16 for each output channel and group; the zero
point is 8 everywhere (symmetric) or one integer for each channel and group. Group order is fixed, so that the
float sum over groups is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.errors import ParameterError

GROUPS = (32, 64, 128)


@dataclass(frozen=True)
class Int4:
    """`codes` uint8 0..15 [out, in]; `scales` float16 [out, groups]; `zeros` uint8 [out, groups] or None for 8.

    The input width need not be a multiple of `group`: the last group may be short.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    zeros: NDArray[np.uint8] | None
    group: int
    activation: ActivationScales = field(default_factory=ActivationScales)

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ParameterError("int4 group", self.group, "must be 32, 64 or 128")
        if self.activation.group not in (None, self.group):
            raise ParameterError(
                "int4 activation group", self.activation.group, f"must be null or the weight group {self.group}"
            )
        groups = -(-self.codes.shape[1] // self.group)
        for name, array, dtype in (("scales", self.scales, np.float16), ("zeros", self.zeros, np.uint8)):
            if array is not None and (array.dtype != dtype or array.shape != (self.codes.shape[0], groups)):
                raise TypeError(f"int4 {name} must be {dtype.__name__} {(self.codes.shape[0], groups)}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes with two codes a byte, as stored and as packed."""
        zeros = 0 if self.zeros is None else self.zeros.size
        return (self.codes.size + 1) // 2 + int(self.scales.nbytes) + zeros

    @property
    def kind(self) -> str:
        return "int4"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        codes = self.codes[rows].astype(np.float32)
        width = codes.shape[1]
        scales = np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, :width]
        if self.zeros is None:
            return (codes - np.float32(8)) * scales
        zeros = np.repeat(self.zeros[rows].astype(np.float32), self.group, axis=1)[:, :width]
        return (codes - zeros) * scales
