"""int8 weights, one scale for each output channel or for each channel and group of inputs, with int8 activations.

The integer dot products are exact in int32 and groups are summed in a fixed order, so the result does not depend on
the instruction set, the batch or the number of threads. Codes stay within [-127, 127]: symmetric rounding never makes
-128, and over the whole of a long row it could overflow the sum. In groups, which are short, a file may have it.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from honed.encodings.activation import ActivationScales
from honed.errors import ParameterError
from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


GROUPS = (32, 64, 128)


@dataclass(frozen=True)
class Int8:
    """`codes` int8 [out, in] and their scales.

    Without a group: `scales` float32 [out]. With a group of 32, 64 or 128 inputs: `scales` float16 [out, groups],
    the last group may be short. Activations have one scale a token, or groups; beside grouped weights the two
    groups must be the same.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32] | NDArray[np.float16]
    group: int | None = None
    activation: ActivationScales = field(default_factory=ActivationScales)

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.codes.ndim != 2:
            raise TypeError(f"int8 codes must be a matrix of int8, not {self.codes.dtype} {self.codes.shape}")
        if self.group is None:
            expected: tuple[int, ...] = self.codes.shape[:1]
            dtype: type[np.floating] = np.float32
        else:
            if self.group not in GROUPS:
                raise ParameterError("int8 group", self.group, "must be null, 32, 64 or 128")
            if self.activation.group not in (None, self.group):
                raise ParameterError(
                    "int8 activation group", self.activation.group, f"must be null or the weight group {self.group}"
                )
            expected = (self.codes.shape[0], -(-self.codes.shape[1] // self.group))
            dtype = np.float16
        if self.scales.dtype != dtype or self.scales.shape != expected:
            raise TypeError(
                f"int8 scales must be {dtype.__name__} {expected}, not {self.scales.dtype} {self.scales.shape}"
            )

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
        codes = self.codes[rows].astype(np.float32)
        if self.group is None:
            return codes * self.scales[rows, None]
        return codes * np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, : codes.shape[1]]
