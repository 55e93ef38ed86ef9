"""What the planner needs to know of a weight: in which form kernels read it, not its values.

The forms themselves stand in the files of the encodings (`encodings/descriptor.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeGuard

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseFormat
from honed.encodings.descriptor import DenseDtype, DensePolicy, Format, Runs, Scheme

if TYPE_CHECKING:
    from honed.encodings.gguf_blocks import GgufBlocks

__all__ = [
    "DenseDtype",
    "DenseFormat",
    "DensePolicy",
    "Format",
    "KvDtype",
    "KvPolicy",
    "dense_dtype",
    "format_of",
    "is_blocks",
    "lies_as_table",
]

KvDtype = Literal["float32", "bfloat16", "int8"]
KvPolicy = Literal["auto", "float32", "bfloat16", "int8"]


def dense_dtype(weight: Encoded, policy: DensePolicy) -> DenseDtype:
    """Type that a weight takes where it is not run quantized: auto keeps float32 and rounds all else to bfloat16."""
    if isinstance(weight, Dense):
        return weight.run_as(policy).dtype
    return "bfloat16" if policy == "auto" else policy


def format_of(weight: Encoded | Scheme, policy: DensePolicy) -> Format:
    """Integer encodings run as they are, and so with auto do GGUF blocks; every other encoding is decoded to dense."""
    if isinstance(weight, Runs):
        return weight.run_as(policy)
    return DenseFormat(dense_dtype(weight, policy))


def is_blocks(encoded: Encoded) -> TypeGuard[GgufBlocks]:
    """Whether it is GGUF blocks. Only a weight of that kind has their code imported."""
    if encoded.kind != "gguf":
        return False
    from honed.encodings.gguf_blocks import GgufBlocks

    return isinstance(encoded, GgufBlocks)


def lies_as_table(encoded: Encoded, policy: DensePolicy) -> TypeGuard[GgufBlocks]:
    """Whether rows of a table are looked up in the blocks of the file; those of other encodings are dense."""
    return policy == "auto" and is_blocks(encoded) and encoded.looked_up and encoded.row_order is None
