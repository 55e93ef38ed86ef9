"""What the planner needs to know of a weight: in which form the native side packs it, not its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int8 import Int8

DenseDtype = Literal["float32", "bfloat16"]
DensePolicy = Literal["auto", "float32", "bfloat16"]
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


Format = DenseFormat | Int8Format | Int4Format


def dense_dtype(encoded: Encoded, policy: DensePolicy) -> DenseDtype:
    """Type that a weight takes where it is not run quantized: auto keeps float32 and rounds all else to bfloat16."""
    if policy != "auto":
        return policy
    return "float32" if isinstance(encoded, Dense) and encoded.dtype == "float32" else "bfloat16"


def format_of(encoded: Encoded, policy: DensePolicy) -> Format:
    """int8 and int4 run as they are; every other encoding is decoded to dense."""
    match encoded:
        case Int8():
            return Int8Format(encoded.group, encoded.activation.group)
        case Int4():
            return Int4Format(encoded.group, encoded.activation.group, encoded.offset)
        case _:
            return DenseFormat(dense_dtype(encoded, policy))
