"""What the planner needs to know of a weight: in which form the native side packs it, not its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme, Scheme, scheme_of

DenseDtype = Literal["float32", "bfloat16"]
DensePolicy = Literal["auto", "float32", "bfloat16"]


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
    offset: Literal["symmetric", "zero_point"]


Format = DenseFormat | Int8Format | Int4Format


def dense_dtype(stored: Scheme | None, policy: DensePolicy) -> DenseDtype:
    """Type that a weight takes where it is not run quantized: auto keeps float32 and rounds all else to bfloat16.

    `stored` is None for encodings that only source files have.
    """
    if policy != "auto":
        return policy
    return "float32" if stored == DenseScheme("float32") else "bfloat16"


def format_of(encoded: Encoded, policy: DensePolicy) -> Format:
    """int8 and int4 run as they are; every other encoding is decoded to dense."""
    return format_of_scheme(scheme_of(encoded) if isinstance(encoded, Dense | Int8 | Int4) else None, policy)


def format_of_scheme(scheme: Scheme | None, policy: DensePolicy) -> Format:
    """As `format_of`, for a weight that is not opened yet."""
    match scheme:
        case Int8Scheme():
            return Int8Format(scheme.group, scheme.activation_group)
        case Int4Scheme():
            return Int4Format(scheme.group, scheme.activation_group, "zero_point" if scheme.zero_point else "symmetric")
        case _:
            return DenseFormat(dense_dtype(scheme, policy))
