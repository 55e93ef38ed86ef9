"""The block formats of GGUF files: how the values of a block lie in its bytes, and what they mean.

Each format cuts a row into blocks of a fixed number of values that share scales; the layouts are those of ggml
(`ggml-common.h`). Every multiplication and addition is done in float32 in the order that ggml does it, so the result
equals ggml's bit for bit. Not here: the weight itself with its shape and rows (`gguf_blocks.py`), and what the records
of the formats of one to three bits mean (`gguf_grid_blocks.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.encodings.codebook import GGML_VALUES
from honed.encodings.dense import bfloat16_to_float32
from honed.encodings.gguf_grid_blocks import POINTS, iq1_m_factor, tq1_0_codes, tq2_0_codes
from honed.encodings.mxfp4 import doubled_values, halved_scales

Blocks = NDArray[np.void]
Values = NDArray[np.float32]
Codes = NDArray[np.int8]

_LOW_HIGH = np.array([0, 4], dtype=np.uint8)[:, None]
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
_BITS = np.arange(8, dtype=np.uint8)[:, None]
_EIGHT_PAIRS = np.arange(0, 16, 2, dtype=np.uint16)
_FOUR_BIT_CODES: Codes = np.array(GGML_VALUES, dtype=np.int8)
_MXFP4_CODES: Codes = doubled_values()
_MOST_EXPONENT = 252
"""Of a block of MXFP4 all of whose values float32 holds."""
_NO_CODES: Codes = np.empty(0, dtype=np.int8)


@dataclass(frozen=True)
class BlockFormat:
    """One format: `layout` is the little-endian record of a block.

    `scales` names the float fields of the record; if these are finite, so is every value of the block. `codes` maps n
    records to int8 [n, values], what is multiplied with the scale of each value; None for formats of single
    floats. `widen` maps records and their codes to values. `scattered` gives the scale of each block where no field is
    it, or what is finite as long as its values are.
    """

    name: str
    type_id: int
    values: int
    layout: np.dtype[np.void]
    scales: tuple[str, ...]
    codes: Callable[[Blocks], Codes] | None
    widen: Callable[[Blocks, Codes], Values]
    scattered: Callable[[Blocks], NDArray[np.floating]] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of a block."""
        return self.layout.itemsize

    def decode(self, blocks: Blocks) -> Values:
        """n records to float32 [n, values]."""
        return self.widen(blocks, _NO_CODES if self.codes is None else self.codes(blocks))

    def floats(self, blocks: Blocks) -> dict[str, NDArray[Any]]:
        """Of records [rows, n] every scale by its name, [rows, n]."""
        if self.scattered is not None:
            return {"scale d": self.scattered(blocks.reshape(-1)).reshape(blocks.shape)}
        return {f"scale {field}": blocks[field] for field in self.scales}


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


# ---- codes: what is multiplied with the scale of a value


def _codes_q4_0(blocks: Blocks) -> Codes:
    return _nibbles(blocks["codes"], 16).view(np.int8) - np.int8(8)


def _codes_q4_1(blocks: Blocks) -> Codes:
    return _nibbles(blocks["codes"], 16).view(np.int8)


def _codes_q5_0(blocks: Blocks) -> Codes:
    return _codes_q5_1(blocks) - np.int8(16)


def _codes_q5_1(blocks: Blocks) -> Codes:
    return (_nibbles(blocks["codes"], 16) | _fifth_bits(blocks["high"])).view(np.int8)


def _codes_q8_0(blocks: Blocks) -> Codes:
    return np.ascontiguousarray(blocks["codes"])


def _codes_q4_k(blocks: Blocks) -> Codes:
    return _nibbles(blocks["codes"], 32).view(np.int8)


def _codes_q5_k(blocks: Blocks) -> Codes:
    high = ((blocks["high"].reshape(-1, 1, 32) >> _BITS) & np.uint8(1)) << np.uint8(4)
    return (_nibbles(blocks["codes"], 32) | high.reshape(-1, 256)).view(np.int8)


def _codes_q6_k(blocks: Blocks) -> Codes:
    high = ((blocks["high"].reshape(-1, 2, 1, 32) >> _PAIRS) & np.uint8(3)) << np.uint8(4)
    return (_nibbles(blocks["codes"], 64) | high.reshape(-1, 256)).view(np.int8) - np.int8(32)


def _two_bits(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of every 32 bytes first the lowest pairs of bits, then the next ones: [n, 4 * bytes]."""
    return ((packed.reshape(len(packed), -1, 1, 32) >> _PAIRS) & np.uint8(3)).reshape(len(packed), -1)


def _codes_q2_k(blocks: Blocks) -> Codes:
    return _two_bits(blocks["codes"]).view(np.int8)


def _codes_q3_k(blocks: Blocks) -> Codes:
    high = ((blocks["high"].reshape(-1, 1, 32) >> _BITS) & np.uint8(1)) << np.uint8(2)
    return (_two_bits(blocks["codes"]) | high.reshape(-1, 256)).view(np.int8) - np.int8(4)


def four_bit_indices(blocks: Blocks) -> NDArray[np.uint8]:
    """Of IQ4_NL and IQ4_XS: which of the sixteen values each code is, [n, values]."""
    return _nibbles(blocks["codes"], 16)


def _codes_iq4(blocks: Blocks) -> Codes:
    return _FOUR_BIT_CODES[four_bit_indices(blocks)]


def mxfp4_indices(blocks: Blocks) -> NDArray[np.uint8]:
    """Codes of MXFP4, [n, 32]."""
    return _nibbles(blocks["codes"], 16)


def _codes_mxfp4(blocks: Blocks) -> Codes:
    return _MXFP4_CODES[mxfp4_indices(blocks)]


def six_bit_scales(packed: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Sixteen scales of Q3_K from twelve bytes: eight of low halves, four of upper pairs; less 32: [n, 16]."""
    low = ((packed[:, None, :8] >> _LOW_HIGH) & np.uint8(0x0F)).reshape(-1, 16)
    high = ((packed[:, None, 8:] >> _PAIRS) & np.uint8(3)).reshape(-1, 16)
    return (low | (high << np.uint8(4))).view(np.int8) - np.int8(32)


def six_bit_pairs(packed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Eight scales and eight minimums of six bits each from twelve bytes (ggml's get_scale_min_k4): [n, 8] each."""
    first, second, mixed = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([first & 0x3F, (mixed & 0x0F) | ((first >> 2) & 0x30)], axis=1)
    minimums = np.concatenate([second & 0x3F, (mixed >> 4) | ((second >> 2) & 0x30)], axis=1)
    return scales, minimums


# ---- values: float32 in ggml's order


def _float32(blocks: Blocks, codes: Codes) -> Values:
    return blocks["d"].astype(np.float32)[:, None]


def _bfloat16(blocks: Blocks, codes: Codes) -> Values:
    return bfloat16_to_float32(blocks["d"])[:, None]


def _scaled(blocks: Blocks, codes: Codes) -> Values:
    return _column(blocks, "d") * codes.astype(np.float32)


def _powers(blocks: Blocks, codes: Codes) -> Values:
    return halved_scales(blocks["exponent"])[:, None] * codes.astype(np.float32)


def _largest_of_mxfp4(blocks: Blocks) -> Values:
    """What no value of a block is over: infinity only where one is. A block of zeros may have any exponent."""
    most = np.full(len(blocks), 12, np.float32)
    high = blocks["exponent"] > _MOST_EXPONENT
    if high.any():
        most[high] = np.abs(_codes_mxfp4(blocks[high])).max(axis=1)
    with np.errstate(over="ignore"):
        return most * halved_scales(blocks["exponent"])


def _scaled_plus_minimum(blocks: Blocks, codes: Codes) -> Values:
    return _scaled(blocks, codes) + _column(blocks, "m")


def _groups_minus_minimum(blocks: Blocks, codes: Codes) -> Values:
    """Eight runs of 32 codes, each with its own scale and minimum."""
    scales, minimums = six_bit_pairs(blocks["scales"])
    widened = (_column(blocks, "d") * scales.astype(np.float32))[:, :, None]
    offsets = (_column(blocks, "m") * minimums.astype(np.float32))[:, :, None]
    return (widened * codes.reshape(-1, 8, 32).astype(np.float32) - offsets).reshape(-1, 256)


def _grouped(blocks: Blocks, levels: NDArray[np.int8], codes: Codes) -> Values:
    """Runs of codes, as many as there are levels, each times d and its level."""
    return _times(_column(blocks, "d") * levels.astype(np.float32), codes)


def _times(scales: Values, codes: Codes) -> Values:
    """Runs of codes, each times its scale."""
    runs = codes.reshape(len(codes), scales.shape[1], -1).astype(np.float32)
    return (scales[:, :, None] * runs).reshape(len(codes), -1)


def _groups_of_16(blocks: Blocks, codes: Codes) -> Values:
    return _grouped(blocks, blocks["scales"], codes)


def _groups_of_q3_k(blocks: Blocks, codes: Codes) -> Values:
    return _grouped(blocks, six_bit_scales(blocks["scales"]), codes)


def levels_of_iq4_xs(blocks: Blocks) -> NDArray[np.int8]:
    """Eight scales of six bits, less 32: [n, 8]."""
    low = (blocks["low"][:, :, None] >> _LOW_HIGH.reshape(2)) & np.uint8(0x0F)
    high = (blocks["upper"][:, None] >> _EIGHT_PAIRS) & np.uint16(3)
    return (low.reshape(-1, 8) | (high.astype(np.uint8) << np.uint8(4))).view(np.int8) - np.int8(32)


def _groups_of_iq4_xs(blocks: Blocks, codes: Codes) -> Values:
    return _grouped(blocks, levels_of_iq4_xs(blocks), codes)


def _groups_of_q2_k(blocks: Blocks, codes: Codes) -> Values:
    """Sixteen runs of 16 codes, each with a scale in the low half of a byte and a minimum in the high half."""
    scales = (_column(blocks, "d") * (blocks["scales"] & np.uint8(15)).astype(np.float32))[:, :, None]
    offsets = (_column(blocks, "m") * (blocks["scales"] >> np.uint8(4)).astype(np.float32))[:, :, None]
    return (scales * codes.reshape(-1, 16, 16).astype(np.float32) - offsets).reshape(-1, 256)


@dataclass(frozen=True)
class _Meaning:
    """How records become codes, and codes values."""

    codes: Callable[[Blocks], Codes] | None
    widen: Callable[[Blocks, Codes], Values]
    scattered: Callable[[Blocks], NDArray[np.floating]] | None = None


def _points(name: str, scattered: Callable[[Blocks], NDArray[np.floating]] | None = None) -> _Meaning:
    """Of a format whose codes are numbers of points."""
    points = POINTS[name]

    def widen(blocks: Blocks, codes: Codes) -> Values:
        d = blocks["d"] if scattered is None else scattered(blocks)
        factors = d.astype(np.float32)[:, None] * np.float32(points.factor)
        return _times(factors * points.levels(blocks).astype(np.float32), codes)

    return _Meaning(points.codes, widen, scattered)


def _format(name: str, type_id: int, values: int, fields: list[tuple[str, str, int]], meaning: _Meaning) -> BlockFormat:
    """`fields` are (name, numpy type, count) in the order of the bytes; the float ones are the scales."""
    layout = np.dtype([(field, kind, (count,)) if count > 1 else (field, kind) for field, kind, count in fields])
    scales = tuple(field for field, _, _ in fields if field in ("d", "m"))
    return BlockFormat(name, type_id, values, layout, scales, meaning.codes, meaning.widen, meaning.scattered)


_D, _M = ("d", "<f2", 1), ("m", "<f2", 1)
_HIGH, _CODES, _SIX_BITS = ("high", "u1", 4), ("codes", "u1", 16), ("scales", "u1", 12)
_HIGH_K, _CODES_K = ("high", "u1", 32), ("codes", "u1", 128)
_Q2_K = [("scales", "u1", 16), ("codes", "u1", 64), _D, _M]
_Q3_K = [_HIGH_K, ("codes", "u1", 64), _SIX_BITS, _D]
_IQ4_XS = [_D, ("upper", "<u2", 1), ("low", "u1", 4), _CODES_K]
_Q6_K = [_CODES_K, ("high", "u1", 64), ("scales", "i1", 16), _D]
_IQ2_XS = [_D, ("codes", "<u2", 32), ("scales", "u1", 8)]
_IQ2_S = [_D, ("codes", "u1", 32), ("signs", "u1", 32), ("high", "u1", 8), ("scales", "u1", 8)]
_IQ3_XXS = [_D, ("codes", "u1", 64), ("signs", "<u4", 8)]
_IQ3_S = [_D, ("codes", "u1", 64), ("high", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]
_IQ1_M = [("codes", "u1", 32), ("high", "u1", 16), ("scales", "<u2", 4)]
_TQ1_0 = [("codes", "u1", 48), ("last", "u1", 4), _D]
FORMATS: dict[int, BlockFormat] = {
    entry.type_id: entry
    for entry in (
        _format("F32", 0, 1, [("d", "<f4", 1)], _Meaning(None, _float32)),
        _format("F16", 1, 1, [_D], _Meaning(None, _float32)),
        _format("Q4_0", 2, 32, [_D, _CODES], _Meaning(_codes_q4_0, _scaled)),
        _format("Q4_1", 3, 32, [_D, _M, _CODES], _Meaning(_codes_q4_1, _scaled_plus_minimum)),
        _format("Q5_0", 6, 32, [_D, _HIGH, _CODES], _Meaning(_codes_q5_0, _scaled)),
        _format("Q5_1", 7, 32, [_D, _M, _HIGH, _CODES], _Meaning(_codes_q5_1, _scaled_plus_minimum)),
        _format("Q8_0", 8, 32, [_D, ("codes", "i1", 32)], _Meaning(_codes_q8_0, _scaled)),
        _format("Q2_K", 10, 256, _Q2_K, _Meaning(_codes_q2_k, _groups_of_q2_k)),
        _format("Q3_K", 11, 256, _Q3_K, _Meaning(_codes_q3_k, _groups_of_q3_k)),
        _format("Q4_K", 12, 256, [_D, _M, _SIX_BITS, _CODES_K], _Meaning(_codes_q4_k, _groups_minus_minimum)),
        _format("Q5_K", 13, 256, [_D, _M, _SIX_BITS, _HIGH_K, _CODES_K], _Meaning(_codes_q5_k, _groups_minus_minimum)),
        _format("Q6_K", 14, 256, _Q6_K, _Meaning(_codes_q6_k, _groups_of_16)),
        _format("IQ2_XXS", 16, 256, [_D, ("codes", "<u4", 16)], _points("IQ2_XXS")),
        _format("IQ2_XS", 17, 256, _IQ2_XS, _points("IQ2_XS")),
        _format("IQ3_XXS", 18, 256, _IQ3_XXS, _points("IQ3_XXS")),
        _format("IQ1_S", 19, 256, [_D, ("codes", "u1", 32), ("high", "<u2", 8)], _points("IQ1_S")),
        _format("IQ4_NL", 20, 32, [_D, _CODES], _Meaning(_codes_iq4, _scaled)),
        _format("IQ3_S", 21, 256, _IQ3_S, _points("IQ3_S")),
        _format("IQ2_S", 22, 256, _IQ2_S, _points("IQ2_S")),
        _format("IQ4_XS", 23, 256, _IQ4_XS, _Meaning(_codes_iq4, _groups_of_iq4_xs)),
        _format("IQ1_M", 29, 256, _IQ1_M, _points("IQ1_M", iq1_m_factor)),
        _format("MXFP4", 39, 32, [("exponent", "u1", 1), _CODES], _Meaning(_codes_mxfp4, _powers, _largest_of_mxfp4)),
        _format("BF16", 30, 1, [("d", "<u2", 1)], _Meaning(None, _bfloat16)),
        _format("TQ1_0", 34, 256, _TQ1_0, _Meaning(tq1_0_codes, _scaled)),
        _format("TQ2_0", 35, 256, [("codes", "u1", 64), _D], _Meaning(tq2_0_codes, _scaled)),
    )
}
"""By the type number that the file carries."""

OTHER_TYPES = {9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 40: "NVFP4"}
"""Names of types that exist and are not read here, for error messages."""
