"""int8 weights, one scale for each output channel, with int8 activations.

The integer dot product is exact in int32, so the result does not depend on the instruction set, the batch or the
number of threads. Codes stay within [-127, 127]: -128 would overflow the byte tricks of instruction sets without a
signed dot product, and symmetric rounding never makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales


@dataclass(frozen=True)
class Int8:
    """`codes` int8 [out, in]; `scales` float32 [out]; weight = codes * scales[:, None]."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    activation: ActivationScales = field(default_factory=ActivationScales)

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.codes.ndim != 2:
            raise TypeError(f"int8 codes must be a matrix of int8, not {self.codes.dtype} {self.codes.shape}")
        if self.scales.dtype != np.float32 or self.scales.shape != self.codes.shape[:1]:
            raise TypeError(f"int8 scales must be float32 {self.codes.shape[:1]}, not {self.scales.shape}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        return int(self.codes.nbytes + self.scales.nbytes)

    @property
    def kind(self) -> str:
        return "int8"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.codes[rows].astype(np.float32) * self.scales[rows, None]


def encode_int8(weight: NDArray[np.float32], activation: ActivationScales | None = None) -> Int8:
    """Rounds to nearest, ties to even, with scale = max |row| / 127."""
    scales = np.abs(weight).max(axis=1, initial=0.0).astype(np.float32) / np.float32(127)
    divisor = np.where(scales > 0, scales, np.float32(1))
    codes = np.clip(np.rint(weight / divisor[:, None]), -127, 127).astype(np.int8)
    return Int8(codes, scales, activation or ActivationScales())
