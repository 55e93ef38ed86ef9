"""What the planner needs to know of a weight: in which form the native side packs it, not its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeGuard

from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook, Table
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int8 import Int8
from honed.encodings.scheme import CodebookScheme, DenseScheme, Int4Scheme, Int8Scheme, Scheme
from honed.records import dataclass

if TYPE_CHECKING:
    from honed.encodings.gguf_blocks import GgufBlocks

DenseDtype = Literal["float32", "bfloat16"]
DensePolicy = Literal["auto", "float32", "bfloat16"]
"""float32 and bfloat16 hold for every weight without an integer encoding of its own, GGUF blocks decoded. auto runs
such blocks as they are, keeps float32 and rounds what is left to bfloat16."""
KvDtype = Literal["float32", "bfloat16", "int8"]
KvPolicy = Literal["auto", "float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class DenseFormat:
    dtype: DenseDtype


@dataclass(frozen=True)
class Int8Format:
    """group None: one scale an output channel. activation None: one scale a token."""

    group: int | None
    activation: int | None


@dataclass(frozen=True)
class Int4Format:
    group: int
    activation: int | None
    offset: Offset


@dataclass(frozen=True)
class CodebookFormat:
    group: int
    activation: int | None
    table: Table


SuperBlockType = Literal["Q4_K", "Q5_K", "Q5_1", "Q6_K"]


@dataclass(frozen=True)
class BlocksFormat:
    """GGUF blocks whose scales are products, kept as their factors."""

    type_name: SuperBlockType

    @property
    def activation(self) -> int:
        return 32


Format = DenseFormat | Int8Format | Int4Format | CodebookFormat | BlocksFormat


def dense_dtype(weight: Encoded | Scheme, policy: DensePolicy) -> DenseDtype:
    """Type that a weight takes where it is not run quantized: auto keeps float32 and rounds all else to bfloat16."""
    if policy != "auto":
        return policy
    return "float32" if isinstance(weight, Dense | DenseScheme) and weight.dtype == "float32" else "bfloat16"


BLOCK_FORMATS: dict[str, Format] = {
    "Q8_0": Int8Format(32, 32),
    "Q5_0": Int8Format(32, 32),
    "Q4_0": Int4Format(32, 32, "symmetric"),
    "Q4_1": Int4Format(32, 32, "minimum"),
    "Q4_K": BlocksFormat("Q4_K"),
    "Q5_K": BlocksFormat("Q5_K"),
    "Q5_1": BlocksFormat("Q5_1"),
    "Q6_K": BlocksFormat("Q6_K"),
}
"""How the blocks of a GGUF file run with the file's own values (`encodings/gguf_integers.py`)."""


def format_of(weight: Encoded | Scheme, policy: DensePolicy) -> Format:
    """Integer encodings run as they are, and so with auto do GGUF blocks; every other encoding is decoded to dense."""
    match weight:
        case Int8():
            return Int8Format(weight.group, weight.activation.group)
        case Int8Scheme():
            return Int8Format(weight.group, weight.activation_group)
        case Int4():
            return Int4Format(weight.group, weight.activation.group, weight.offset)
        case Int4Scheme():
            return Int4Format(weight.group, weight.activation_group, weight.offset)
        case Codebook():
            return CodebookFormat(weight.group, weight.activation.group, weight.table)
        case CodebookScheme():
            return CodebookFormat(weight.group, weight.activation_group, weight.table)
        case DenseScheme():
            return DenseFormat(dense_dtype(weight, policy))
        case _:
            if policy == "auto" and is_blocks(weight) and weight.type_name in BLOCK_FORMATS:
                return BLOCK_FORMATS[weight.type_name]
            return DenseFormat(dense_dtype(weight, policy))


def is_blocks(encoded: Encoded) -> TypeGuard[GgufBlocks]:
    """Whether it is GGUF blocks. Only a weight of that kind has their code imported."""
    if encoded.kind != "gguf":
        return False
    from honed.encodings.gguf_blocks import GgufBlocks

    return isinstance(encoded, GgufBlocks)


def lies_as_table(encoded: Encoded, policy: DensePolicy) -> TypeGuard[GgufBlocks]:
    """Whether rows of a table are looked up in the blocks of the file; those of other encodings are dense."""
    return policy == "auto" and is_blocks(encoded) and encoded.format.codes is not None and encoded.row_order is None
