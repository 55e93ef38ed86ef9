"""int8 weights, one scale for each output channel or for each channel and group of inputs, with int8 activations.

The integer dot products are exact in int32 and groups are summed in a fixed order, so the result does not depend on
the instruction set, the batch or the number of threads. Codes stay within [-127, 127]: symmetric rounding never makes
-128, and over the whole of a long row it could overflow the sum. In groups, which are short, a file may have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from honed.encodings.activation import ActivationScales
from honed.encodings.descriptor import PANEL_DEPTH, DensePolicy, Integers, Part, kernels_of
from honed.encodings.groups import GROUPS, Group, activation_text, as_group, count_groups
from honed.encodings.words import to_bytes, to_words
from honed.errors import ParameterError
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Int8Scheme:
    """`group` inputs share a float16 scale, or a row a float32 one; so many features share an activation scale.

    On disk: `weight` int8 and `weight_scale` where no scale is one of a group, which other tools call int-quantized;
    else `weight_packed`, code + 128 in words, `weight_scale` and `weight_shape` (pack-quantized).
    """

    name: ClassVar[str] = "int8"
    quantizes: ClassVar[bool] = kernels_of(name).quantizes
    looked_up: ClassVar[bool] = kernels_of(name).looked_up

    group: Group | None
    activation_group: Group | None = None

    @property
    def plain(self) -> bool:
        """Whether codes are stored as they are: one scale a channel and one a token."""
        return self.group is None and self.activation_group is None

    @property
    def label(self) -> str:
        return "int8" if self.group is None else f"int8 group {self.group}"

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        return rows * width + (4 * rows if self.group is None else 2 * rows * count_groups(width, self.group))

    def run_as(self, policy: DensePolicy) -> Int8Scheme:
        return self

    def packed_bytes(self, columns: int, k: int) -> int:
        groups = count_groups(k, self.group or PANEL_DEPTH)
        return columns * (groups * PANEL_DEPTH + 4 if self.group is None else groups * (self.group + 2))

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, width = shape
        scales = (
            Part("_scale", "F32", (rows, 1))
            if self.group is None
            else Part("_scale", "F16", (rows, count_groups(width, self.group)))
        )
        if self.plain:
            return Part("", "I8", shape), scales
        return Part("_packed", "I32", (rows, -(-width // 4))), scales, Part("_shape", "I64", (2,))

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], NDArray[Any]]) -> Int8:
        scales = tensor("_scale")
        scales = scales[:, 0] if self.group is None else scales
        activation = ActivationScales(self.activation_group)
        if self.plain:
            return Int8(tensor(""), scales, self.group, activation)
        stored = to_bytes(tensor("_packed"))
        return StoredInt8(stored, shape[1], scales=scales, group=self.group, activation=activation)

    def as_json(self) -> dict[str, Any]:
        return {"group": self.group, "activation_group": self.activation_group}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Int8Scheme:
        return cls(as_group(fields.get("group")), as_group(fields.get("activation_group")))

    def __str__(self) -> str:
        weights = "per channel" if self.group is None else f"group {self.group}"
        return f"int8 {weights}, {activation_text(self.activation_group)}"


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
    def scheme(self) -> Int8Scheme:
        return Int8Scheme(as_group(self.group), as_group(self.activation.group))

    @property
    def nbytes(self) -> int:
        return self.scheme.nbytes(self.shape)

    @property
    def kind(self) -> str:
        return Int8Scheme.name

    def run_as(self, policy: DensePolicy) -> Int8Scheme:
        return self.scheme

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        codes = self.codes[rows].astype(np.float32)
        if self.group is None:
            return codes * self.scales[rows, None]
        return codes * np.repeat(self.scales[rows].astype(np.float32), self.group, axis=1)[:, : codes.shape[1]]

    def rows_at(self, numbers: NDArray[np.intp]) -> Int8:
        return Int8(self.codes[numbers], self.scales[numbers], self.group, self.activation)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return {"scale": self.scales}

    def integers(self) -> Integers:
        scales = self.scales.astype(np.float32).reshape(len(self.codes), -1)
        return Integers(self.codes.astype(np.int64), scales, None, self.group)

    def parts(self) -> dict[str, NDArray[Any]]:
        scales = self.scales[:, None] if self.group is None else self.scales
        if self.scheme.plain:
            return {"": self.codes, "_scale": scales}
        stored = to_words(self.codes.view(np.uint8) ^ np.uint8(0x80))
        return {"_packed": stored, "_scale": scales, "_shape": np.array(self.shape, np.int64)}


class StoredInt8(Int8):
    """Codes that lie in a mapped file, spread to bytes when they are asked for and never kept.

    `stored` uint8 [out, at least in]: code + 128, rows filled up to whole words.
    """

    stored: NDArray[np.uint8]
    width: int

    def __init__(
        self,
        stored: NDArray[np.uint8],
        width: int,
        *,
        scales: NDArray[np.float32] | NDArray[np.float16],
        group: int | None,
        activation: ActivationScales,
    ) -> None:
        # The base class is frozen, and its own constructor would take the codes.
        self.__dict__.update(stored=stored, width=width, scales=scales, group=group, activation=activation)

    @property
    def codes(self) -> NDArray[np.int8]:
        return self._spread(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape[0], self.width

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return Int8(self._spread(rows), self.scales[rows], self.group, self.activation).decode()

    def _spread(self, rows: slice) -> NDArray[np.int8]:
        return (self.stored[rows, : self.width] ^ np.uint8(0x80)).view(np.int8)
