"""4-bit weights whose codes are indices of sixteen int8 values, in groups along the input, with int8 activations.

    weight = scale * table[code], a float16 scale for each output channel and group

A kernel looks sixteen values up by byte shuffle whatever they are, so one encoding serves linear codes, powers of two
and the quantiles of a normal distribution (NF4: Dettmers et al. 2023, QLoRA). Here are the tables, storing and
decoding; rounding is in `codebook_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from honed.encodings.activation import ActivationScales
from honed.encodings.descriptor import DensePolicy, Integers, Part, Scheme, kernels_of
from honed.encodings.groups import GROUPS, Group, activation_text, as_group, count_groups, required_group
from honed.encodings.words import join_nibbles, split_nibbles
from honed.errors import ParameterError
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


Table = tuple[int, ...]
TableName = Literal["linear", "power_of_two", "normal_float"]
TableChoice = Literal["linear", "power_of_two", "normal_float", "learned"]
"""Names, and what stands in their place where a weight gets the values that fit it best, which are not known before."""


TABLES: dict[TableName, Table] = {
    "linear": tuple(range(-8, 8)),
    "power_of_two": (*(-(1 << power) for power in range(7, -1, -1)), 0, *(1 << power for power in range(7))),
    "normal_float": (-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127),
}
"""Each ascending. Those of normal_float are quantiles of the normal distribution at equal steps of probability: zero,
seven below and eight above it. Each side ends at the mean of 1 - 1/32 and 1 - 1/30, the outermost probabilities that
leave half a step beyond sixteen and fifteen values, and the largest becomes 127."""
GGML_VALUES: Table = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""What the codes of the GGUF blocks IQ4_NL and IQ4_XS stand for (ggml's kvalues_iq4nl)."""


def check_table(table: Table) -> None:
    """ParameterError unless it is sixteen int8 values, ascending, not all of them zero."""
    valid = len(table) == 16 and all(type(value) is int and -128 <= value <= 127 for value in table)
    if not valid or list(table) != sorted(table) or not any(table):
        raise ParameterError("table", list(table), "must be sixteen ascending integers from -128 to 127, not all zero")


def table_name(table: Table | None) -> str:
    """The name of a built-in table, or the values; of one that is to be learned, that."""
    if table is None:
        return "learned"
    return next((name for name, values in TABLES.items() if values == table), str(list(table)))


@dataclass(frozen=True)
class CodebookScheme:
    """4-bit indices of sixteen int8 values; `group` inputs share a float16 scale. `table` is None of a weight that is
    to be encoded with one of its own; what it becomes has a table (`codebook_fit.py`).

    On disk: `weight_codes`, two indices a byte, and `weight_scale`. The table stands in the manifest.
    """

    name: ClassVar[str] = "codebook"
    quantizes: ClassVar[bool] = kernels_of(name).quantizes
    looked_up: ClassVar[bool] = kernels_of(name).looked_up

    group: Group
    table: Table | None
    activation_group: Group | None = None

    @property
    def values(self) -> Table:
        """The table. TypeError where it is to be learned."""
        if self.table is None:
            raise TypeError("a table that is to be learned has no values yet")
        return self.table

    @property
    def label(self) -> str:
        return f"codebook group {self.group}"

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        return rows * (-(-width // 2) + 2 * count_groups(width, self.group))

    def run_as(self, policy: DensePolicy) -> CodebookScheme:
        return self

    def packed_bytes(self, columns: int, k: int) -> int:
        return columns * count_groups(k, self.group) * (self.group // 2 + 2)

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, width = shape
        scales = Part("_scale", "F16", (rows, count_groups(width, self.group)))
        return Part("_codes", "U8", (rows, -(-width // 2))), scales

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], NDArray[Any]]) -> Codebook:
        return StoredCodebook(
            tensor("_codes"),
            shape[1],
            scales=tensor("_scale"),
            table=self.values,
            group=self.group,
            activation=ActivationScales(self.activation_group),
        )

    def as_json(self) -> dict[str, Any]:
        return {"table": list(self.values), "group": self.group, "activation_group": self.activation_group}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> CodebookScheme:
        values = fields.get("table")
        if not isinstance(values, list):
            raise ParameterError("table", values, "must be a list of sixteen integers")
        table = tuple(values)
        check_table(table)
        return cls(required_group(fields.get("group")), table, as_group(fields.get("activation_group")))

    def is_announced_by(self, scheme: Scheme) -> bool:
        """Whether a weight of this scheme was to be expected of that one: the same, but that its table was learned."""
        if not isinstance(scheme, CodebookScheme) or scheme.table is not None:
            return self == scheme
        return (self.group, self.activation_group) == (scheme.group, scheme.activation_group)

    def __str__(self) -> str:
        return f"codebook {table_name(self.table)} group {self.group}, {activation_text(self.activation_group)}"


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
    def scheme(self) -> CodebookScheme:
        return CodebookScheme(required_group(self.group), self.table, as_group(self.activation.group))

    @property
    def nbytes(self) -> int:
        return self.scheme.nbytes(self.shape)

    @property
    def kind(self) -> str:
        return CodebookScheme.name

    def run_as(self, policy: DensePolicy) -> CodebookScheme:
        return self.scheme

    @property
    def values(self) -> NDArray[np.int8]:
        """The table as an array."""
        return np.array(self.table, dtype=np.int8)

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values = self.values.astype(np.float32)[self.codes[rows]]
        scales = np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, : values.shape[1]]
        decoded: NDArray[np.float32] = values * scales
        return decoded

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return {"scale": self.scales}

    def integers(self) -> Integers:
        codes = self.values.astype(np.int64)[self.codes]
        return Integers(codes, self.scales.astype(np.float32), None, self.group)

    def parts(self) -> dict[str, NDArray[Any]]:
        return {"_codes": join_nibbles(self.codes), "_scale": self.scales}


class StoredCodebook(Codebook):
    """Codes that lie in a mapped file, spread to bytes when they are asked for and never kept.

    `stored` uint8 [out, in / 2]: two codes a byte, the first in the low bits, rows filled up to whole bytes.
    """

    stored: NDArray[np.uint8]
    width: int

    def __init__(
        self,
        stored: NDArray[np.uint8],
        width: int,
        *,
        scales: NDArray[np.float16],
        table: Table,
        group: int,
        activation: ActivationScales,
    ) -> None:
        # The base class is frozen, and its own constructor would take the codes.
        given = {"scales": scales, "table": table, "group": group, "activation": activation}
        self.__dict__.update(stored=stored, width=width, **given)

    @property
    def codes(self) -> NDArray[np.uint8]:
        return self._spread(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape[0], self.width

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return Codebook(self._spread(rows), self.scales[rows], self.table, self.group, self.activation).decode()

    def _spread(self, rows: slice) -> NDArray[np.uint8]:
        return np.ascontiguousarray(split_nibbles(self.stored[rows])[:, : self.width])
