"""How the blocks of GGUF's smallest formats hold 256 values of one to three bits: points of a grid, or ternary digits.

A code is the number of a point, which gives the magnitudes of eight or four values; their signs are stored beside it.
Groups of values share a small odd level. Records (`gguf_formats.py` has their layouts) become signed integers and the
levels of their groups:

    value = d * factor * level * integer, the factor a power of two

All of it is exact in float32, so the order of ggml's multiplications does not matter. Of IQ1 the integers are eight
times a coordinate, and one more or less. Not here: the points themselves (`gguf_grids.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.encodings.gguf_grids import GridName, even_signs, grid, signs

Blocks = NDArray[np.void]
Codes = NDArray[np.int8]

_SEVENS = np.arange(0, 28, 7, dtype=np.uint32)
_HALVES = np.array([0, 4], dtype=np.uint8)
_PAIRS = np.array([0, 2, 4, 6], dtype=np.uint8)
_THREES = np.array([0, 3, 6, 9], dtype=np.uint16)
_BITS = np.arange(8, dtype=np.uint8)
_POWERS = np.array([1, 3, 9, 27, 81], dtype=np.uint8)[:, None]
_OF_IQ2 = (-43, -25, -8, 8, 25, 43)
_OF_IQ1 = (-9, -7, -1, 1, 7, 9)


@dataclass(frozen=True)
class Points:
    """What a format's records are: `codes` [n, 256], one of `values` each; `levels` [n, groups]; the factor."""

    codes: Callable[[Blocks], Codes]
    levels: Callable[[Blocks], Codes]
    values: tuple[int, ...]
    factor: float


def _halves(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The low half of each byte, then its high half: [n, 2 * bytes]."""
    found: NDArray[np.uint8] = ((packed[:, :, None] >> _HALVES) & np.uint8(15)).reshape(len(packed), -1)
    return found


def _widened(codes: NDArray[np.uint8], upper: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Codes with more bits above their eight: [n, codes]."""
    return codes.astype(np.uint16) | upper.reshape(codes.shape).astype(np.uint16) << np.uint16(8)


def _signed(name: GridName, codes: NDArray[np.integer], of_signs: Codes) -> Codes:
    """Points by their numbers [n, points], with their signs."""
    magnitudes = grid(name)[codes].reshape(len(codes), 256)
    found: Codes = magnitudes * of_signs.reshape(magnitudes.shape)
    return found


def _odd(levels: NDArray[np.integer]) -> Codes:
    """Of 0, 1, 2 and so on 1, 3, 5."""
    found: Codes = (levels.astype(np.int8) << np.int8(1)) + np.int8(1)
    return found


def _sevens(words: NDArray[np.uint32]) -> Codes:
    """The signs of the four sevens of bits of each word: [n, 32 * words]."""
    found: Codes = even_signs()[(words[:, :, None] >> _SEVENS) & np.uint32(127)].reshape(len(words), -1)
    return found


def _levels_above(words: NDArray[np.uint32]) -> Codes:
    """The upper four bits of each word, above the sevens of signs."""
    return _odd(words >> np.uint32(28))


def _levels_in_halves(blocks: Blocks) -> Codes:
    return _odd(_halves(blocks["scales"]))


def _second_words(blocks: Blocks) -> NDArray[np.uint32]:
    words: NDArray[np.uint32] = blocks["codes"].reshape(-1, 8, 2)[:, :, 1]
    return words


def _iq2_xxs(blocks: Blocks) -> Codes:
    """Of each 32 values two words: four codes of eight bits; four sevens of signs and above them the level."""
    codes = np.ascontiguousarray(blocks["codes"].reshape(-1, 8, 2)[:, :, 0]).view(np.uint8)
    return _signed("IQ2_XXS", codes, _sevens(_second_words(blocks)))


def _iq2_xs(blocks: Blocks) -> Codes:
    """Codes of nine bits below seven of signs."""
    codes = blocks["codes"]
    return _signed("IQ2_XS", codes & np.uint16(511), even_signs()[codes >> np.uint16(9)])


def _iq2_s(blocks: Blocks) -> Codes:
    """Codes of eight bits, two more apart; eight signs for each."""
    codes = _widened(blocks["codes"], (blocks["high"][:, :, None] >> _PAIRS) & np.uint8(3))
    return _signed("IQ2_S", codes, signs()[blocks["signs"]])


def _iq3_xxs(blocks: Blocks) -> Codes:
    """Codes of eight bits for four values each; of 32 values a word of four sevens of signs and the level."""
    return _signed("IQ3_XXS", blocks["codes"], _sevens(blocks["signs"]))


def _iq3_s(blocks: Blocks) -> Codes:
    """Codes of nine bits, the last one apart; eight signs for two of them."""
    codes = _widened(blocks["codes"], (blocks["high"][:, :, None] >> _BITS) & np.uint8(1))
    return _signed("IQ3_S", codes, signs()[blocks["signs"]])


def _moved(codes: NDArray[np.uint16], back: NDArray[np.bool_]) -> Codes:
    """Points of IQ1 in eighths, moved back or forth by one; `back` of as many values as there are of it."""
    steps = np.where(back, np.int8(-1), np.int8(1))
    points = (grid("IQ1_S") << np.int8(3))[codes].reshape(len(codes), steps.shape[1], -1)
    return (points + steps[:, :, None]).reshape(len(codes), 256)


def _iq1_s(blocks: Blocks) -> Codes:
    """Codes of eight bits; of 32 values a word: three more bits for each code, the level, the side of the move."""
    words = blocks["high"]
    codes = _widened(blocks["codes"], (words[:, :, None] >> _THREES) & np.uint16(7))
    return _moved(codes, words >> np.uint16(15) != 0)


def _iq1_m(blocks: Blocks) -> Codes:
    """Codes of eight bits, halves of bytes with three more and the side of the move."""
    halves = _halves(blocks["high"])
    return _moved(_widened(blocks["codes"], halves & np.uint8(7)), halves & np.uint8(8) != 0)


def iq1_m_factor(blocks: Blocks) -> NDArray[np.float16]:
    """The scale of a block, whose four halves of bytes stand above the levels in their four words: [n]."""
    parts = blocks["scales"] >> np.uint16(12)
    bits = parts[:, 0] | parts[:, 1] << np.uint16(4) | parts[:, 2] << np.uint16(8) | parts[:, 3] << np.uint16(12)
    found: NDArray[np.float16] = bits.astype(np.uint16).view(np.float16)
    return found


POINTS: dict[str, Points] = {
    "IQ2_XXS": Points(_iq2_xxs, lambda blocks: _levels_above(_second_words(blocks)), _OF_IQ2, 0.125),
    "IQ2_XS": Points(_iq2_xs, _levels_in_halves, _OF_IQ2, 0.125),
    "IQ2_S": Points(_iq2_s, _levels_in_halves, _OF_IQ2, 0.125),
    "IQ3_XXS": Points(
        _iq3_xxs,
        lambda blocks: _levels_above(blocks["signs"]),
        (-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62),
        0.25,
    ),
    "IQ3_S": Points(_iq3_s, _levels_in_halves, tuple(range(-15, 17, 2)), 1.0),
    "IQ1_S": Points(_iq1_s, lambda blocks: _odd((blocks["high"] >> np.uint16(12)) & np.uint16(7)), _OF_IQ1, 0.125),
    "IQ1_M": Points(
        _iq1_m,
        lambda blocks: _odd((blocks["scales"][:, :, None] >> _THREES).reshape(-1, 16) & np.uint16(7)),
        _OF_IQ1,
        0.125,
    ),
}
"""By ggml's names. Levels are of 32 values, of IQ2_XS, IQ2_S and IQ1_M of 16."""


def tq1_0_codes(blocks: Blocks) -> Codes:
    """Five values in a byte, as a fraction of 3^5 in 256ths: the whole part of three times it is the next one."""
    count = len(blocks)
    packed = blocks["codes"]
    runs = (packed[:, None, :32], packed[:, None, 32:], blocks["last"][:, None, :])
    # The product wraps around, which leaves the fraction.
    fractions = [(run * _POWERS[: 4 if run.shape[2] == 4 else 5]).reshape(count, -1) for run in runs]
    digits = (np.concatenate(fractions, axis=1).astype(np.uint16) * np.uint16(3)) >> np.uint16(8)
    return digits.astype(np.int8) - np.int8(1)


def tq2_0_codes(blocks: Blocks) -> Codes:
    """Of every 32 bytes first the lowest pairs of bits, then the next ones."""
    pairs = (blocks["codes"].reshape(-1, 2, 1, 32) >> _PAIRS[:, None]) & np.uint8(3)
    return pairs.reshape(-1, 256).view(np.int8) - np.int8(1)
