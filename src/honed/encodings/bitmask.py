"""A matrix of which few values are there: a bit for each value that says so, and those values, row after row.

Every pattern costs the one bit: two of four need as much for their positions of two bits. Not here: what the values
are, integers (`sparse.py`) or floats.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits = NDArray[np.uint8]
    Value = TypeVar("Value", bound=np.generic)


def pack_bits(kept: NDArray[np.bool_]) -> Bits:
    """[rows, n] to [rows, ceil(n / 8)], the first of a byte in its lowest bit."""
    return np.packbits(kept, axis=1, bitorder="little")


def unpack_bits(bits: Bits, width: int) -> NDArray[np.bool_]:
    """[rows, ceil(width / 8)] to [rows, width]."""
    return np.unpackbits(bits, axis=1, count=width, bitorder="little").view(np.bool_)


def count_bits(bits: Bits, width: int) -> NDArray[np.int64]:
    """Bits that are set in each row, [rows]; those beyond the width do not count."""
    counts: NDArray[np.int64] = _bits_of_bytes()[bits[:, : width // 8]].sum(axis=1, dtype=np.int64)
    if width % 8:
        counts += _bits_of_bytes()[bits[:, width // 8] & np.uint8((1 << width % 8) - 1)]
    return counts


def row_starts(bits: Bits, width: int) -> NDArray[np.int64]:
    """Where the values of each row begin, and behind the last one where all end: [rows + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(count_bits(bits, width))])


def spread(bits: Bits, values: NDArray[Value], width: int) -> NDArray[Value]:
    """[rows, width] of as many values as bits are set, zero elsewhere."""
    dense: NDArray[Value] = np.zeros((len(bits), width), values.dtype)
    dense[unpack_bits(bits, width)] = values
    return dense


@cache
def _bits_of_bytes() -> NDArray[np.uint8]:
    return np.array([byte.bit_count() for byte in range(256)], np.uint8)
