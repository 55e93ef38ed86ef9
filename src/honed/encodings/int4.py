"""int4 weights in groups along the input, with int8 activations.

code in 0..15, a float16 scale for each output channel and group, and one of three offsets:

    symmetric    weight = scale * (code - 8)
    zero_point   weight = scale * (code - zero), one integer 0..15 for each channel and group
    minimum      weight = scale * code + minimum, one float16 for each channel and group

Group order is fixed, so that the float sum over groups is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from honed.encodings.activation import ActivationScales
from honed.encodings.descriptor import DensePolicy, Integers, Part, kernels_of
from honed.encodings.groups import GROUPS, Group, activation_text, as_group, count_groups, required_group
from honed.encodings.words import join_nibbles, pack_zero_points, split_nibbles, to_bytes, to_words, unpack_zero_points
from honed.errors import ParameterError
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


Offset = Literal["symmetric", "zero_point", "minimum"]
OFFSET_BYTES: dict[Offset, int] = {"symmetric": 0, "zero_point": 1, "minimum": 2}
"""Of the offset of one group."""


@dataclass(frozen=True)
class Int4Scheme:
    """`group` inputs share a float16 scale and, by `offset`, an integer zero point or a float16 minimum.

    On disk (pack-quantized to other tools): `weight_packed`, codes in words, `weight_scale`, `weight_shape`, and
    `weight_zero_point`, packed along the first axis, or `weight_minimum`.
    """

    name: ClassVar[str] = "int4"
    quantizes: ClassVar[bool] = kernels_of(name).quantizes
    looked_up: ClassVar[bool] = kernels_of(name).looked_up

    group: Group
    offset: Offset
    activation_group: Group | None = None

    @property
    def label(self) -> str:
        return f"int4 group {self.group}"

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        groups = count_groups(width, self.group)
        return (rows * width + 1) // 2 + rows * groups * (2 + OFFSET_BYTES[self.offset])

    def run_as(self, policy: DensePolicy) -> Int4Scheme:
        return self

    def packed_bytes(self, columns: int, k: int) -> int:
        return columns * count_groups(k, self.group) * (self.group // 2 + 2 + OFFSET_BYTES[self.offset])

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, width = shape
        groups = count_groups(width, self.group)
        parts = (
            Part("_packed", "I32", (rows, -(-width // 8))),
            Part("_scale", "F16", (rows, groups)),
            Part("_shape", "I64", (2,)),
        )
        if self.offset == "zero_point":
            return (*parts, Part("_zero_point", "I32", (-(-rows // 8), groups)))
        return (*parts, Part("_minimum", "F16", (rows, groups))) if self.offset == "minimum" else parts

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], NDArray[Any]]) -> Int4:
        offsets: NDArray[Any] | None = None
        if self.offset == "zero_point":
            offsets = unpack_zero_points(tensor("_zero_point"), shape[0])
        elif self.offset == "minimum":
            offsets = tensor("_minimum")
        return StoredInt4(
            to_bytes(tensor("_packed")),
            shape[1],
            scales=tensor("_scale"),
            offsets=offsets,
            group=self.group,
            activation=ActivationScales(self.activation_group),
        )

    def as_json(self) -> dict[str, Any]:
        return {"group": self.group, "offset": self.offset, "activation_group": self.activation_group}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Int4Scheme:
        offset = fields.get("offset")
        if offset not in OFFSET_BYTES:
            raise ParameterError("offset", offset, f"must be one of {', '.join(OFFSET_BYTES)}")
        return cls(required_group(fields.get("group")), offset, as_group(fields.get("activation_group")))

    def __str__(self) -> str:
        offset = self.offset.replace("_", " ")
        return f"int4 group {self.group} {offset}, {activation_text(self.activation_group)}"


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
    def scheme(self) -> Int4Scheme:
        return Int4Scheme(required_group(self.group), self.offset, as_group(self.activation.group))

    @property
    def nbytes(self) -> int:
        return self.scheme.nbytes(self.shape)

    @property
    def kind(self) -> str:
        return Int4Scheme.name

    def run_as(self, policy: DensePolicy) -> Int4Scheme:
        return self.scheme

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

    def rows_at(self, numbers: NDArray[np.intp]) -> Int4:
        offsets = None if self.offsets is None else self.offsets[numbers]
        return Int4(self.codes[numbers], self.scales[numbers], offsets, self.group, self.activation)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        minimums = {} if self.offsets is None or self.offset != "minimum" else {"minimum": self.offsets}
        return {"scale": self.scales, **minimums}

    def integers(self) -> Integers:
        codes, scales = self.codes.astype(np.int64), self.scales.astype(np.float32)
        if self.offsets is None:
            return Integers(codes - 8, scales, None, self.group)
        if self.offset == "minimum":
            return Integers(codes, scales, self.offsets.astype(np.float32), self.group)
        zeros = np.repeat(self.offsets.astype(np.int64), self.group, axis=1)[:, : codes.shape[1]]
        return Integers(codes - zeros, scales, None, self.group)

    def parts(self) -> dict[str, NDArray[Any]]:
        parts: dict[str, NDArray[Any]] = {
            "_packed": to_words(join_nibbles(self.codes)),
            "_scale": self.scales,
            "_shape": np.array(self.shape, np.int64),
        }
        if self.offsets is None:
            return parts
        if self.offset == "minimum":
            return {**parts, "_minimum": self.offsets}
        return {**parts, "_zero_point": pack_zero_points(np.asarray(self.offsets, np.uint8))}


class StoredInt4(Int4):
    """Codes that lie in a mapped file, spread to bytes when they are asked for and never kept.

    `stored` uint8 [out, at least in / 2]: two codes a byte, the first in the low bits, rows filled up to whole words.
    """

    stored: NDArray[np.uint8]
    width: int

    def __init__(
        self,
        stored: NDArray[np.uint8],
        width: int,
        *,
        scales: NDArray[np.float16],
        offsets: NDArray[np.uint8] | NDArray[np.float16] | None,
        group: int,
        activation: ActivationScales,
    ) -> None:
        # The base class is frozen, and its own constructor would take the codes.
        given = {"scales": scales, "offsets": offsets, "group": group, "activation": activation}
        self.__dict__.update(stored=stored, width=width, **given)

    @property
    def codes(self) -> NDArray[np.uint8]:
        return self._spread(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape[0], self.width

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        offsets = None if self.offsets is None else self.offsets[rows]
        return Int4(self._spread(rows), self.scales[rows], offsets, self.group, self.activation).decode()

    def _spread(self, rows: slice) -> NDArray[np.uint8]:
        return np.ascontiguousarray(split_nibbles(self.stored[rows])[:, : self.width])
