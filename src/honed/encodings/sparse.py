"""int8 weights in groups of which the zeros are left out: a bit for each weight, and the codes that are not zero.

    a share s of a row, left out:  8 (1 - s) + 1 bits a weight, and a float16 scale for each group

Stored small and run as int8: codes are spread when they are packed, since no kernel gains by the bits
(docs/measurements/sparsity.md). How many codes are stored follows from the shape and the share, so that sizes are known
before a weight is read; a weight with fewer has zeros behind them. Two of four with positions of two bits would be as
large. Rounding is that of int8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from honed.encodings.activation import ActivationScales
from honed.encodings.bitmask import pack_bits, row_starts, spread
from honed.encodings.descriptor import DensePolicy, Integers, Part
from honed.encodings.groups import Group, activation_text, as_group, count_groups, required_group
from honed.encodings.int8 import Int8, Int8Scheme
from honed.errors import FormatError, ParameterError, UnsupportedError
from honed.lazy_imports import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SparseScheme:
    """A `share` of each row is zero and left out, on the whole; `group` inputs share a float16 scale.

    On disk: `weight_bitmask`, a bit for each weight, rows filled up to whole bytes, `weight_values`, the codes row
    after row, and `weight_scale`. The share stands in the manifest.
    """

    name: ClassVar[str] = "sparse"

    share: float
    group: Group
    activation_group: Group | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ParameterError("share", self.share, "must be over 0 and under 1")

    def stored(self, shape: tuple[int, ...]) -> int:
        """Codes that a weight of that shape has on disk."""
        rows, width = shape
        # Shares such as 2/3 are a little off.
        return rows * (width - int(self.share * width + 1e-6))

    def nbytes(self, shape: tuple[int, ...]) -> int:
        rows, width = shape
        return rows * -(-width // 8) + self.stored(shape) + 2 * rows * count_groups(width, self.group)

    def run_as(self, policy: DensePolicy) -> Int8Scheme:
        return Int8Scheme(self.group, self.activation_group)

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, width = shape
        return (
            Part("_bitmask", "U8", (rows, -(-width // 8))),
            Part("_values", "I8", (self.stored(shape),)),
            Part("_scale", "F16", (rows, count_groups(width, self.group))),
        )

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], NDArray[Any]]) -> Sparse:
        activation = ActivationScales(self.activation_group)
        return Sparse(
            tensor("_bitmask"), tensor("_values"), tensor("_scale"), shape[1], self.group, self.share, activation
        )

    def as_json(self) -> dict[str, Any]:
        return {"share": self.share, "group": self.group, "activation_group": self.activation_group}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> SparseScheme:
        share = fields.get("share")
        if not isinstance(share, float):
            raise ParameterError("share", share, "must be over 0 and under 1")
        return cls(share, required_group(fields.get("group")), as_group(fields.get("activation_group")))

    def __str__(self) -> str:
        return f"sparse {self.share:g} int8 group {self.group}, {activation_text(self.activation_group)}"


@dataclass(frozen=True)
class Sparse:
    """`bits` uint8 [out, ceil(in / 8)], the first input of a byte in its lowest bit; `stored` int8 codes of the weights
    whose bit is set, and zeros behind them; `scales` float16 [out, groups]."""

    bits: NDArray[np.uint8]
    stored: NDArray[np.int8]
    scales: NDArray[np.float16]
    width: int
    group: int
    share: float
    activation: ActivationScales = field(default_factory=ActivationScales)

    def __post_init__(self) -> None:
        shape = (len(self.bits), self.width)
        arrays: tuple[NDArray[Any], ...] = (self.bits, self.stored, self.scales)
        types: tuple[type, ...] = (np.uint8, np.int8, np.float16)
        for part, given, dtype in zip(self.scheme.tensors(shape), arrays, types, strict=True):
            if given.dtype != dtype or given.shape != part.shape:
                raise TypeError(
                    f"sparse {part.suffix} must be {part.dtype} {part.shape}, not {given.dtype} {given.shape}"
                )

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.bits), self.width

    @property
    def scheme(self) -> SparseScheme:
        return SparseScheme(self.share, required_group(self.group), as_group(self.activation.group))

    @property
    def nbytes(self) -> int:
        return self.scheme.nbytes(self.shape)

    @property
    def kind(self) -> str:
        return SparseScheme.name

    def run_as(self, policy: DensePolicy) -> Int8Scheme:
        return self.scheme.run_as(policy)

    @property
    def codes(self) -> NDArray[np.int8]:
        """int8 [out, in], made anew each time."""
        return self.as_run().codes

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.as_run(rows).decode()

    def rows_at(self, numbers: NDArray[np.intp]) -> Int8:
        return self.as_run().rows_at(numbers)

    def floats(self) -> Mapping[str, NDArray[Any]]:
        return {"scale": self.scales}

    def integers(self) -> Integers:
        return self.as_run().integers()

    def parts(self) -> dict[str, NDArray[Any]]:
        return {"_bitmask": self.bits, "_values": self.stored, "_scale": self.scales}

    def as_run(self, rows: slice = slice(None)) -> Int8:
        """A range of its rows with their zeros. FormatError where more bits are set than codes are stored."""
        first, stop, _ = rows.indices(len(self.bits))
        begin, end = self._starts[first], self._starts[max(first, stop)]
        codes = spread(self.bits[first:stop], self.stored[begin:end], self.width)
        return Int8(codes, self.scales[first:stop], self.group, self.activation)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where the codes of each row begin, and where all end."""
        starts = row_starts(self.bits, self.width)
        if starts[-1] > len(self.stored):
            problem = f"{starts[-1]} bits are set, and {len(self.stored)} codes are stored"
            raise FormatError("sparse weight", "bitmask", problem)
        return starts


def leave_out(weight: Int8, share: float, *, name: str) -> Sparse:
    """The same weight without its zeros. UnsupportedError, which names it, where fewer than that share are zero, or it
    has no groups."""
    if weight.group is None:
        raise UnsupportedError(f"{name}: only int8 in groups is stored without its zeros")
    scheme = SparseScheme(share, required_group(weight.group), as_group(weight.activation.group))
    codes = weight.codes
    kept = codes != 0
    values, room = codes[kept], scheme.stored(codes.shape)
    if values.size > room:
        zeros = 1 - values.size / codes.size
        raise UnsupportedError(
            f"{name}: {zeros:.4f} of it is zero, and weights.sparse leaves out {share:g}; prune more of it before, "
            "or override its setting"
        )
    stored = np.concatenate([values, np.zeros(room - values.size, np.int8)])
    scales = weight.scales.astype(np.float16, copy=False)
    return Sparse(pack_bits(kept), stored, scales, codes.shape[1], weight.group, share, weight.activation)
