"""4-bit weights whose codes are indices of sixteen int8 values, in groups along the input, with int8 activations.

    weight = scale * table[code], a float16 scale for each output channel and group

A kernel looks sixteen values up by byte shuffle whatever they are, so one encoding serves linear codes, powers of two
and the quantiles of a normal distribution (NF4: Dettmers et al. 2023, QLoRA). Here are the tables, storing and
decoding; rounding is in `codebook_encoder.py`.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from honed.encodings.activation import ActivationScales
from honed.errors import ParameterError
from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


GROUPS = (32, 64, 128)
Table = tuple[int, ...]
TableName = Literal["linear", "power_of_two", "normal_float"]


def _normal_quantile(probability: float) -> float:
    """Where the normal distribution reaches a probability from 0.5 to 0.999, by bisection.

    `statistics` has it too, and costs every start its import.
    """
    low, high = 0.0, 4.0
    for _ in range(50):
        middle = (low + high) / 2
        if (1 + math.erf(middle / math.sqrt(2))) / 2 < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _normal_float() -> Table:
    """Quantiles of the normal distribution at equal steps of probability, zero among them, seven below and eight above.

    Each side goes from one half to the mean of 1 - 1/32 and 1 - 1/30, the outermost probabilities that leave half a
    step beyond sixteen and fifteen values; the largest becomes 127.
    """
    outermost = 1 - (1 / 32 + 1 / 30) / 2

    def side(count: int) -> list[float]:
        return [_normal_quantile(0.5 + (outermost - 0.5) * step / count) for step in range(1, count + 1)]

    size = 127 / _normal_quantile(outermost)
    values = [-value for value in reversed(side(7))] + [0.0] + side(8)
    return tuple(round(value * size) for value in values)


TABLES: dict[TableName, Table] = {
    "linear": tuple(range(-8, 8)),
    "power_of_two": (*(-(1 << power) for power in range(7, -1, -1)), 0, *(1 << power for power in range(7))),
    "normal_float": _normal_float(),
}
"""Each ascending."""


def check_table(table: Table) -> None:
    """ParameterError unless it is sixteen int8 values, ascending, not all of them zero."""
    valid = len(table) == 16 and all(type(value) is int and -128 <= value <= 127 for value in table)
    if not valid or list(table) != sorted(table) or not any(table):
        raise ParameterError("table", list(table), "must be sixteen ascending integers from -128 to 127, not all zero")


@dataclass(frozen=True)
class Codebook:
    """`codes` uint8 0..15 [out, in], `scales` float16 [out, groups]; the last group may be short."""

    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    table: Table
    group: int
    activation: ActivationScales = field(default_factory=ActivationScales)

    def __post_init__(self) -> None:
        check_table(self.table)
        if self.group not in GROUPS:
            raise ParameterError("codebook group", self.group, "must be 32, 64 or 128")
        if self.activation.group not in (None, self.group):
            raise ParameterError(
                "codebook activation group", self.activation.group, f"must be null or the weight group {self.group}"
            )
        if self.codes.dtype != np.uint8 or self.codes.ndim != 2:
            raise TypeError(f"codebook codes must be a matrix of uint8, not {self.codes.dtype} {self.codes.shape}")
        expected = (self.codes.shape[0], -(-self.codes.shape[1] // self.group))
        if self.scales.dtype != np.float16 or self.scales.shape != expected:
            raise TypeError(f"codebook scales must be float16 {expected}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes with two codes a byte, as stored and as packed."""
        rows, width = self.shape
        return rows * -(-width // 2) + int(self.scales.nbytes)

    @property
    def kind(self) -> str:
        return "codebook"

    @property
    def values(self) -> NDArray[np.int8]:
        """The table as an array."""
        return np.array(self.table, dtype=np.int8)

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values = self.values.astype(np.float32)[self.codes[rows]]
        scales = np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, : values.shape[1]]
        decoded: NDArray[np.float32] = values * scales
        return decoded


def table_name(table: Table) -> str:
    """The name of a built-in table, or the values."""
    return next((name for name, values in TABLES.items() if values == table), str(list(table)))
