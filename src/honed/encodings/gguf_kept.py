"""Codes of our encodings as blocks of GGUF files, without rounding anew: the same weight to who reads the blocks.

    int8                            Q8_0
    int4 symmetric, with minimum    Q4_0, Q4_1
    int4 with zero point            Q4_1, its minimum -scale * zero rounded to float16
    MXFP4                           MXFP4, its codes in the order of ggml
    codebook                        IQ4_NL with ggml's values, Q4_0 with -8 to 7, else Q8_0 of the values looked up

Larger groups repeat their scale. The scale of a whole row, float32, is rounded to float16. Not here: rounding of values
(`gguf_rounding.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.codebook import GGML_VALUES, TABLES, Codebook
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import BlockFormat
from honed.encodings.gguf_rounding import BY_NAME, VALUES, join_halves
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.mxfp4 import Mxfp4
from honed.encodings.words import split_nibbles

_SMALLEST_NORMAL = float(np.finfo(np.float16).tiny)
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Kept:
    """Rows of blocks: `rows` uint8 [out, bytes of a row]. error: the largest difference from the weight relative to its
    largest magnitude, 0 where there is none by construction."""

    format: BlockFormat
    rows: NDArray[np.uint8]
    error: float = 0.0


def kept_format(weight: Encoded) -> BlockFormat | None:
    """The format in which the codes of a weight can be kept. None: it must be decoded."""
    if isinstance(weight, GgufBlocks):
        return weight.format
    if isinstance(weight, Mxfp4):
        return BY_NAME["MXFP4"] if len(weight.shape) == 2 else None
    if len(weight.shape) != 2 or weight.shape[1] % VALUES:
        return None
    if isinstance(weight, Int8):
        return BY_NAME["Q8_0"] if weight.group is not None or _fits_float16(weight.scales) else None
    if isinstance(weight, Int4):
        return BY_NAME["Q4_0" if weight.offsets is None else "Q4_1"]
    if isinstance(weight, Codebook):
        return BY_NAME[_FOUR_BITS.get(weight.table, "Q8_0")]
    return None


_FOUR_BITS = {GGML_VALUES: "IQ4_NL", TABLES["linear"]: "Q4_0"}


def keep(weight: Encoded) -> Kept:
    """The blocks. TypeError where `kept_format` is None."""
    found = kept_format(weight)
    if found is None:
        raise TypeError(f"{weight.kind} of shape {weight.shape} cannot be kept in blocks")
    if isinstance(weight, GgufBlocks):
        stored = weight.stored.reshape(-1, weight.stored.shape[-1])
        return Kept(found, stored if weight.row_order is None else stored[weight.row_order])
    if isinstance(weight, Mxfp4):
        return Kept(found, _microscaled(weight, found))
    assert isinstance(weight, Int8 | Int4 | Codebook)
    rows, width = weight.shape
    blocks = np.zeros((rows, width // VALUES), found.layout)
    group = width if weight.group is None else weight.group
    blocks["d"] = _for_blocks(weight.scales.reshape(rows, -1), group, width)
    codes: NDArray[np.uint8] | NDArray[np.int8] = weight.codes
    if isinstance(weight, Codebook) and found.name == "Q8_0":
        codes = weight.values[weight.codes]
    shaped = codes.reshape(-1, VALUES)
    lying = shaped if found.name == "Q8_0" else join_halves(shaped.view(np.uint8))
    blocks["codes"] = lying.reshape(*blocks.shape, -1)
    if found.name == "Q4_1":
        assert isinstance(weight, Int4) and weight.offsets is not None
        blocks["m"] = _for_blocks(_minimums(weight), group, width)
    stored = blocks.view(np.uint8).reshape(rows, -1)
    return Kept(found, stored, 0.0 if _is_exact(weight) else _largest_error(weight, found, stored))


def _microscaled(weight: Mxfp4, found: BlockFormat) -> NDArray[np.uint8]:
    """Bytes there hold neighbours, and here a value of each half of a block."""
    blocks = np.zeros(weight.exponents.shape, found.layout)
    blocks["exponent"] = weight.exponents
    codes = split_nibbles(np.ascontiguousarray(weight.blocks).reshape(-1, VALUES // 2))
    blocks["codes"] = join_halves(codes).reshape(weight.blocks.shape)
    return blocks.view(np.uint8).reshape(weight.shape[0], -1)


def _is_exact(weight: Int8 | Int4 | Codebook) -> bool:
    if isinstance(weight, Int8):
        return weight.group is not None
    return isinstance(weight, Codebook) or weight.offsets is None or weight.offsets.dtype == np.float16


def _minimums(weight: Int4) -> NDArray[np.float16]:
    assert weight.offsets is not None
    if weight.offsets.dtype == np.float16:
        return weight.offsets  # type: ignore[return-value]
    exact = -weight.scales.astype(np.float32) * weight.offsets.astype(np.float32)
    with np.errstate(over="ignore"):
        return exact.astype(np.float16)


def _for_blocks(values: NDArray[np.floating], group: int, width: int) -> NDArray[np.float16]:
    """One for each group of a row to one for each block of it."""
    return np.repeat(values.astype(np.float16), group // VALUES, axis=1)[:, : width // VALUES]


def _fits_float16(scales: NDArray[np.floating]) -> bool:
    """Whether rounding moves each by 2**-11 of it at most."""
    magnitude = np.abs(scales[scales != 0])
    return not len(magnitude) or bool(magnitude.min() >= _SMALLEST_NORMAL and magnitude.max() <= _LARGEST)


def _largest_error(weight: Encoded, found: BlockFormat, stored: NDArray[np.uint8]) -> float:
    worst, most = 0.0, 0.0
    step = max(1, (1 << 20) // weight.shape[1])
    for first in range(0, weight.shape[0], step):
        part = slice(first, first + step)
        expected = weight.decode(part)
        records = np.ascontiguousarray(stored[part]).view(found.layout).reshape(-1)
        worst = max(worst, float(np.abs(found.decode(records).reshape(expected.shape) - expected).max()))
        most = max(most, float(np.abs(expected).max()))
    return worst / most if most else 0.0
