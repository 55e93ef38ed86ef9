"""What the blocks of GGUF's smallest formats mean: 256 values of one to three bits, in points of a grid.

A code is the number of a point, which gives the magnitudes of eight or four values; their signs are stored beside it.
Groups of values share a small odd level, times the scale of the block. The ternary formats have one scale for all and
three values: minus one, zero, one. Each function maps records (`gguf_formats.py` has their layouts) to float32, every
multiplication in ggml's order, so the result equals ggml's bit for bit. Not here: the points (`gguf_grids.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.encodings.gguf_grids import GridName, even_signs, grid, signs

Blocks = NDArray[np.void]
Values = NDArray[np.float32]

_SEVENS = np.arange(0, 28, 7, dtype=np.uint32)
_HALVES = np.array([0, 4], dtype=np.uint8)
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)
_THREES = np.array([0, 3, 6, 9], dtype=np.uint16)
_BITS = np.arange(8, dtype=np.uint8)
_DELTA = np.float32(0.125)
"""How far the points of IQ1 are moved, one way or the other."""
_POWERS = np.array([1, 3, 9, 27, 81], dtype=np.uint8)[:, None]


def _factor(blocks: Blocks) -> Values:
    widened: Values = blocks["d"].astype(np.float32)
    return widened[:, None]


def _halves(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The low half of each byte, then its high half: [n, 2 * bytes]."""
    found: NDArray[np.uint8] = ((packed[:, :, None] >> _HALVES) & np.uint8(15)).reshape(len(packed), -1)
    return found


def _widened(codes: NDArray[np.uint8], upper: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Codes with more bits above their eight: [n, codes]."""
    return codes.astype(np.uint16) | upper.reshape(codes.shape).astype(np.uint16) << np.uint16(8)


def _signed(scales: Values, name: GridName, codes: NDArray[np.integer], of_signs: Values) -> Values:
    """Points by their numbers [n, points], times the scale of their group and then their signs."""
    count, groups = scales.shape
    magnitudes = grid(name)[codes].reshape(count, groups, -1)
    return (scales[:, :, None] * magnitudes * of_signs.reshape(magnitudes.shape)).reshape(count, 256)


def _quarters(blocks: Blocks, levels: NDArray[np.integer], divided: float) -> Values:
    """d * (1/2 + level) * 1/4 or 1/2: [n, groups]."""
    return _factor(blocks) * (np.float32(0.5) + levels.astype(np.float32)) * np.float32(divided)


def _sevens(words: NDArray[np.uint32]) -> Values:
    """The signs of the four sevens of bits of each word: [n, 32 * words]."""
    return even_signs()[(words[:, :, None] >> _SEVENS) & np.uint32(127)].reshape(len(words), -1)


def iq2_xxs(blocks: Blocks) -> Values:
    """Of each 32 values two words: four codes of eight bits; four sevens of signs and above them the level."""
    words = blocks["codes"].reshape(-1, 8, 2)
    codes = np.ascontiguousarray(words[:, :, 0]).view(np.uint8)
    second = words[:, :, 1]
    return _signed(_quarters(blocks, second >> np.uint32(28), 0.25), "IQ2_XXS", codes, _sevens(second))


def iq2_xs(blocks: Blocks) -> Values:
    """Codes of nine bits below seven of signs; levels of 16 values in halves of bytes."""
    codes = blocks["codes"]
    scales = _quarters(blocks, _halves(blocks["scales"]), 0.25)
    return _signed(scales, "IQ2_XS", codes & np.uint16(511), even_signs()[codes >> np.uint16(9)])


def iq2_s(blocks: Blocks) -> Values:
    """Codes of eight bits, two more apart; eight signs for each; levels of 16 values in halves of bytes."""
    codes = _widened(blocks["codes"], (blocks["high"][:, :, None] >> _PAIRS) & np.uint8(3))
    return _signed(_quarters(blocks, _halves(blocks["scales"]), 0.25), "IQ2_S", codes, signs()[blocks["signs"]])


def iq3_xxs(blocks: Blocks) -> Values:
    """Codes of eight bits for four values each; of 32 values a word of four sevens of signs and the level."""
    words = blocks["signs"]
    return _signed(_quarters(blocks, words >> np.uint32(28), 0.5), "IQ3_XXS", blocks["codes"], _sevens(words))


def iq3_s(blocks: Blocks) -> Values:
    """Codes of nine bits, the last one apart; eight signs for two of them; levels of 32 values in halves of bytes."""
    codes = _widened(blocks["codes"], (blocks["high"][:, :, None] >> _BITS) & np.uint8(1))
    levels = np.uint8(1) + np.uint8(2) * _halves(blocks["scales"])
    return _signed(_factor(blocks) * levels.astype(np.float32), "IQ3_S", codes, signs()[blocks["signs"]])


def _moved(scales: Values, codes: NDArray[np.uint16], back: NDArray[np.bool_]) -> Values:
    """Points of IQ1, moved back or forth, times the scale of their group. `back` as `scales`, or finer."""
    delta = np.where(back, -_DELTA, _DELTA)
    count = len(codes)
    points = grid("IQ1_S")[codes].reshape(count, delta.shape[1], -1) + delta[:, :, None]
    return (scales[:, :, None] * points.reshape(count, scales.shape[1], -1)).reshape(count, 256)


def iq1_s(blocks: Blocks) -> Values:
    """Codes of eight bits; of 32 values a word: three more bits for each code, the level, the side of the move."""
    words = blocks["high"]
    codes = _widened(blocks["codes"], (words[:, :, None] >> _THREES) & np.uint16(7))
    levels = np.uint16(2) * ((words >> np.uint16(12)) & np.uint16(7)) + np.uint16(1)
    return _moved(_factor(blocks) * levels.astype(np.float32), codes, words >> np.uint16(15) != 0)


def iq1_m_factor(blocks: Blocks) -> NDArray[np.float16]:
    """The scale of a block, whose four halves of bytes stand above the levels in their four words: [n]."""
    parts = blocks["scales"] >> np.uint16(12)
    bits = parts[:, 0] | parts[:, 1] << np.uint16(4) | parts[:, 2] << np.uint16(8) | parts[:, 3] << np.uint16(12)
    return bits.astype(np.uint16).view(np.float16)


def iq1_m(blocks: Blocks) -> Values:
    """Codes of eight bits, halves of bytes with three more and the side of the move; levels of 16 values."""
    halves = _halves(blocks["high"])
    codes = _widened(blocks["codes"], halves & np.uint8(7))
    levels = (blocks["scales"][:, :, None] >> _THREES).reshape(-1, 16) & np.uint16(7)
    factor = iq1_m_factor(blocks).astype(np.float32)[:, None]
    scales = factor * (np.uint16(2) * levels + np.uint16(1)).astype(np.float32)
    return _moved(scales, codes, halves & np.uint8(8) != 0)


def tq1_0_codes(blocks: Blocks) -> NDArray[np.int8]:
    """Five values in a byte, as a fraction of 3^5 in 256ths: the whole part of three times it is the next one."""
    count = len(blocks)
    packed = blocks["codes"]
    runs = (packed[:, None, :32], packed[:, None, 32:], blocks["last"][:, None, :])
    # The product wraps around, which leaves the fraction.
    fractions = [(run * _POWERS[: 4 if run.shape[2] == 4 else 5]).reshape(count, -1) for run in runs]
    digits = (np.concatenate(fractions, axis=1).astype(np.uint16) * np.uint16(3)) >> np.uint16(8)
    return digits.astype(np.int8) - np.int8(1)


def tq2_0_codes(blocks: Blocks) -> NDArray[np.int8]:
    """Of every 32 bytes first the lowest pairs of bits, then the next ones."""
    pairs = (blocks["codes"].reshape(-1, 2, 1, 32) >> _PAIRS[:, None]) & np.uint8(3)
    return pairs.reshape(-1, 256).view(np.int8) - np.int8(1)
