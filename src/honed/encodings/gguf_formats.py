"""The block formats of GGUF files: how the values of a block lie in its bytes, and what they mean.

Each format cuts a row into blocks of a fixed number of values that share scales; the layouts are those of ggml
(`ggml-common.h`). Every multiplication and addition is done in float32 in the order that ggml does it, so the result
equals ggml's bit for bit. Not here: the weight itself with its shape and rows (`gguf_blocks.py`), and the formats that
need look-up tables (IQ, TQ, MXFP4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.dense import bfloat16_to_float32

Blocks = NDArray[np.void]
Values = NDArray[np.float32]

_LOW_HIGH = np.array([0, 4], dtype=np.uint8)[:, None]
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
_BITS = np.arange(8, dtype=np.uint8)[:, None]


@dataclass(frozen=True)
class BlockFormat:
    """One format: `layout` is the little-endian record of a block, `decode` maps n records to [n, values] float32.

    `scales` names the float fields of the record; if these are finite, so is every value of the block.
    """

    name: str
    type_id: int
    values: int
    layout: np.dtype[np.void]
    scales: tuple[str, ...]
    decode: Callable[[Blocks], Values]

    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
        return self.layout.itemsize


def _column(blocks: Blocks, field: str) -> Values:
    widened: Values = blocks[field].astype(np.float32)
    return widened[:, None]


def _nibbles(packed: NDArray[np.uint8], run: int) -> NDArray[np.uint8]:
    """Of every `run` bytes first the low halves, then the high halves: [n, 2 * bytes]."""
    count = len(packed)
    halves = (packed.reshape(count, -1, 1, run) >> _LOW_HIGH) & np.uint8(0x0F)
    return halves.reshape(count, -1)


def _fifth_bits(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The 32 bits of 4 bytes, least significant first, moved to bit 4: [n, 32]."""
    return np.unpackbits(packed, axis=1, bitorder="little") << np.uint8(4)


def _float32(blocks: Blocks) -> Values:
    return blocks["d"].astype(np.float32)[:, None]


def _bfloat16(blocks: Blocks) -> Values:
    return bfloat16_to_float32(blocks["d"])[:, None]


def _q4_0(blocks: Blocks) -> Values:
    codes = _nibbles(blocks["codes"], 16).view(np.int8) - np.int8(8)
    return _column(blocks, "d") * codes.astype(np.float32)


def _q4_1(blocks: Blocks) -> Values:
    codes = _nibbles(blocks["codes"], 16).astype(np.float32)
    return _column(blocks, "d") * codes + _column(blocks, "m")


def _q5_0(blocks: Blocks) -> Values:
    codes = (_nibbles(blocks["codes"], 16) | _fifth_bits(blocks["high"])).view(np.int8) - np.int8(16)
    return _column(blocks, "d") * codes.astype(np.float32)


def _q5_1(blocks: Blocks) -> Values:
    codes = (_nibbles(blocks["codes"], 16) | _fifth_bits(blocks["high"])).astype(np.float32)
    return _column(blocks, "d") * codes + _column(blocks, "m")


def _q8_0(blocks: Blocks) -> Values:
    return blocks["codes"].astype(np.float32) * _column(blocks, "d")


def _six_bit_pairs(packed: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Eight scales and eight minima of six bits each from twelve bytes (ggml's get_scale_min_k4)."""
    first, second, mixed = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 0x3F, (mixed & 0x0F) | ((first >> 2) & 0x30)], axis=1)
    minima = np.concatenate([second & 0x3F, (mixed >> 4) | ((second >> 2) & 0x30)], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _scaled_minus_minimum(blocks: Blocks, codes: NDArray[np.uint8]) -> Values:
    """Eight runs of 32 codes, each with its own scale and minimum."""
    scales, minima = _six_bit_pairs(blocks["scales"])
    scales = (_column(blocks, "d") * scales)[:, :, None]
    minima = (_column(blocks, "m") * minima)[:, :, None]
    return (scales * codes.reshape(-1, 8, 32).astype(np.float32) - minima).reshape(-1, 256)


def _q4_k(blocks: Blocks) -> Values:
    return _scaled_minus_minimum(blocks, _nibbles(blocks["codes"], 32))


def _q5_k(blocks: Blocks) -> Values:
    high = ((blocks["high"].reshape(-1, 1, 32) >> _BITS) & np.uint8(1)) << np.uint8(4)
    return _scaled_minus_minimum(blocks, _nibbles(blocks["codes"], 32) | high.reshape(-1, 256))


def _q6_k(blocks: Blocks) -> Values:
    high = ((blocks["high"].reshape(-1, 2, 1, 32) >> _PAIRS) & np.uint8(3)) << np.uint8(4)
    codes = (_nibbles(blocks["codes"], 64) | high.reshape(-1, 256)).view(np.int8) - np.int8(32)
    scales = _column(blocks, "d") * blocks["scales"].astype(np.float32)
    return (scales[:, :, None] * codes.reshape(-1, 16, 16).astype(np.float32)).reshape(-1, 256)


def _format(
    name: str, type_id: int, values: int, fields: list[tuple[str, str, int]], decode: Callable[[Blocks], Values]
) -> BlockFormat:
    """`fields` are (name, numpy type, count) in the order of the bytes; the float ones are the scales."""
    layout = np.dtype([(field, kind, (count,)) if count > 1 else (field, kind) for field, kind, count in fields])
    return BlockFormat(name, type_id, values, layout, tuple(f for f, _, _ in fields if f in ("d", "m")), decode)


_D, _M = ("d", "<f2", 1), ("m", "<f2", 1)
FORMATS: dict[int, BlockFormat] = {
    entry.type_id: entry
    for entry in (
        _format("F32", 0, 1, [("d", "<f4", 1)], _float32),
        _format("F16", 1, 1, [_D], _float32),
        _format("Q4_0", 2, 32, [_D, ("codes", "u1", 16)], _q4_0),
        _format("Q4_1", 3, 32, [_D, _M, ("codes", "u1", 16)], _q4_1),
        _format("Q5_0", 6, 32, [_D, ("high", "u1", 4), ("codes", "u1", 16)], _q5_0),
        _format("Q5_1", 7, 32, [_D, _M, ("high", "u1", 4), ("codes", "u1", 16)], _q5_1),
        _format("Q8_0", 8, 32, [_D, ("codes", "i1", 32)], _q8_0),
        _format("Q4_K", 12, 256, [_D, _M, ("scales", "u1", 12), ("codes", "u1", 128)], _q4_k),
        _format("Q5_K", 13, 256, [_D, _M, ("scales", "u1", 12), ("high", "u1", 32), ("codes", "u1", 128)], _q5_k),
        _format("Q6_K", 14, 256, [("codes", "u1", 128), ("high", "u1", 64), ("scales", "i1", 16), _D], _q6_k),
        _format("BF16", 30, 1, [("d", "<u2", 1)], _bfloat16),
    )
}
"""By the type number that the file carries."""

OTHER_TYPES = {9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S"}
OTHER_TYPES |= {20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64"}
OTHER_TYPES |= {28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}
"""Names of types that exist and are not read here, for error messages."""
