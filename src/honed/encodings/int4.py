"""int4 weights in groups along the input, with int8 activations.

code in 0..15, a float16 scale for each output channel and group, and one of three offsets:

    symmetric    weight = scale * (code - 8)
    zero_point   weight = scale * (code - zero), one integer 0..15 for each channel and group
    minimum      weight = scale * code + minimum, one float16 for each channel and group

Group order is fixed, so that the float sum over groups is the same everywhere.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from honed.encodings.activation import ActivationScales
from honed.errors import ParameterError
from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


GROUPS = (32, 64, 128)
Offset = Literal["symmetric", "zero_point", "minimum"]


@dataclass(frozen=True)
class Int4:
    """`codes` uint8 0..15 [out, in], `scales` float16 [out, groups], and the offsets of one kind [out, groups].

    `offsets`: uint8 are zero points, float16 are minimums, None is symmetric. The input width need not be a multiple
    of `group`: the last group may be short.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    offsets: NDArray[np.uint8] | NDArray[np.float16] | None
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
        expected = (self.codes.shape[0], groups)
        if self.scales.dtype != np.float16 or self.scales.shape != expected:
            raise TypeError(f"int4 scales must be float16 {expected}")
        if self.offsets is not None and (
            self.offsets.dtype not in (np.uint8, np.float16) or self.offsets.shape != expected
        ):
            raise TypeError(f"int4 offsets must be uint8 or float16 {expected}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes with two codes a byte, as stored and as packed."""
        offsets = 0 if self.offsets is None else int(self.offsets.nbytes)
        return (self.codes.size + 1) // 2 + int(self.scales.nbytes) + offsets

    @property
    def kind(self) -> str:
        return "int4"

    @property
    def offset(self) -> Offset:
        """Which of the three offsets it has."""
        if self.offsets is None:
            return "symmetric"
        return "minimum" if self.offsets.dtype == np.float16 else "zero_point"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        codes = self.codes[rows].astype(np.float32)
        width = codes.shape[1]
        scales = np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, :width]
        if self.offsets is None:
            return (codes - np.float32(8)) * scales
        offsets = np.repeat(self.offsets[rows].astype(np.float32), self.group, axis=1)[:, :width]
        return codes * scales + offsets if self.offset == "minimum" else (codes - offsets) * scales
