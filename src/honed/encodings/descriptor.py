"""What an encoding says of itself, each thing once; everybody else looks it up. Interfaces only, one file an encoding.

A `Scheme` is to a weight what a type is to a value: the parameters of its encoding, what a weight of some shape
weighs, which tensors it is on disk, how it is read from them, how it stands in a manifest. A `Format` is how kernels
read a matrix. Of integers both are the same (`Int8Scheme`). Dense values are rounded to what kernels multiply
(`DenseFormat`), and blocks of a GGUF file have a format only. `scheme.py` lists all schemes.

Not here, since it lies above: who packs a format (`backends/panels.py`), and what compressed-tensors can say of a
scheme (`checkpoints/compressed_tensors/declare.py`). Both are tables by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from honed.encodings.base import Encoded
from honed.native import extension
from honed.records import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

PANEL_DEPTH = 64
"""Rows without groups are packed as if they had whole runs of so many inputs (native/cpu/panel_layout.h)."""
DenseDtype = Literal["float32", "bfloat16"]
DensePolicy = Literal["auto", "float32", "bfloat16"]
"""float32 and bfloat16 hold for every weight without an integer encoding of its own, GGUF blocks decoded. auto runs
such blocks as they are, keeps float32 and rounds what is left to bfloat16."""
PartType = Literal["I64", "F32", "I32", "F16", "BF16", "I8", "U8"]


@dataclass(frozen=True)
class Part:
    """One of the tensors that a weight is on disk: its name is that of the weight and `suffix`, its type a word of
    safetensors."""

    suffix: str
    dtype: PartType
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Kernels:
    """What the native engine says of a format: `Format.quantizes` and `Format.looked_up`."""

    quantizes: bool
    looked_up: bool


def kernels_of(name: str) -> Kernels:
    """Of a format by its name, from the one list of the kinds of weights (native/plan/weight_kinds.def)."""
    return Kernels(*extension.MATRIX_FORMATS[name])


class Format(Protocol):
    """How kernels read a matrix. Two weights of equal formats can be merged into one."""

    name: ClassVar[str]
    """Of the encoding: dense, int8, int4, codebook, blocks."""
    quantizes: ClassVar[bool]
    """Whether activations are int8 in front of it."""
    looked_up: ClassVar[bool]
    """Whether rows of it can be looked up in its panels."""

    @property
    def activation_group(self) -> int | None:
        """Features that share an activation scale; None: all of a token, or activations are floats."""

    @property
    def label(self) -> str:
        """A name for a table of results, such as int8 group 32."""

    def packed_bytes(self, columns: int, k: int) -> int:
        """Bytes of the panels of so many columns, their scales and padding included."""


class Scheme(Protocol):
    """How this project stores a weight. Sizes are exact, so that free space can be checked and headers laid out before
    the first weight is read."""

    name: ClassVar[str]
    """Of the encoding: dense, int8, int4, codebook."""

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a stored weight, scales included."""

    def run_as(self, policy: DensePolicy) -> Format:
        """How kernels read a weight of it under a policy."""

    def tensors(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        """What a weight of that shape is on disk."""

    def read(self, shape: tuple[int, ...], tensor: Callable[[str], Array]) -> Encoded:
        """The weight whose parts `tensor` gives by suffix, with types and shapes as announced. Reads no codes yet."""

    def as_json(self) -> dict[str, Any]:
        """The parameters as plain values."""

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Scheme:
        """The inverse of `as_json`; other keys are left alone. ParameterError names the field that is wrong."""


@runtime_checkable
class Runs(Protocol):
    """What says how it is run: a scheme, and a weight but for those that can only be decoded."""

    def run_as(self, policy: DensePolicy) -> Format: ...


@runtime_checkable
class Checkable(Encoded, Protocol):
    """A weight of which not all values need to be looked at to find NaN or infinity."""

    def floats(self) -> Mapping[str, Array]:
        """Arrays [rows, ...] by what they hold: if these are finite, so is every value. uint16 are bfloat16 bits."""


@runtime_checkable
class Storable(Encoded, Protocol):
    """A weight in an encoding that an artifact may have."""

    @property
    def scheme(self) -> Scheme: ...

    def parts(self) -> dict[str, Array]:
        """The arrays of `Scheme.tensors` by suffix; bfloat16 as its bits."""


@dataclass(frozen=True)
class Integers:
    """value = scale * code + minimum: `codes` [out, in]; `scales`, `minimums` float32 [out, groups], one without."""

    codes: NDArray[np.int64]
    scales: NDArray[np.float32]
    minimums: NDArray[np.float32] | None
    group: int | None


@runtime_checkable
class Quantized(Encoded, Protocol):
    """A weight of integer codes."""

    def integers(self) -> Integers:
        """What kernels multiply: zero points subtracted, codes looked up."""
