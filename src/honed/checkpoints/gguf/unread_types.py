"""Tensor types of GGUF files by what their blocks weigh, those that are not read included.

With these a header is read whole, so that it can be said of a file what it holds although it does not run. Sizes are
those of ggml (`ggml-common.h`). Not here: the types that are read (`encodings/gguf_formats.py`).
"""

from __future__ import annotations

import numpy as np

from honed.encodings.gguf_formats import FORMATS, BlockFormat, Blocks, Codes, Values

SIZES: dict[int, tuple[str, int, int]] = {
    9: ("Q8_1", 32, 36),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""Name, values and bytes of a block, by the type number of the file."""


def any_format(type_id: int) -> BlockFormat:
    """The format of a type number: one that is read, or one that has a name and a size and cannot be decoded. A number
    that nobody knows has no size either."""
    known = FORMATS.get(type_id)
    if known is not None:
        return known
    name, values, nbytes = SIZES.get(type_id, (f"number {type_id}", 1, 0))
    return BlockFormat(name, type_id, values, np.dtype([("bytes", "u1", (nbytes,))]), (), _refuse_codes, _refuse)


def is_read(entry_format: BlockFormat) -> bool:
    """Whether it is one of the types that are read here."""
    return FORMATS.get(entry_format.type_id) is entry_format


def _refuse_codes(blocks: Blocks) -> Codes:
    raise TypeError(f"{len(blocks)} blocks of a type that is not read")


def _refuse(blocks: Blocks, codes: Codes) -> Values:
    raise TypeError(f"{len(blocks)} blocks of a type that is not read, {len(codes)} codes")
