"""Codes as they lie on disk: two of 4 bits a byte, four bytes a word, the first in the low bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


def split_nibbles(pairs: Bytes) -> Bytes:
    """[rows, n] bytes to [rows, 2 n] codes."""
    # Both codes of a byte at once: the low one stays, the high one moves into the next byte.
    wide = pairs.astype("<u2")
    wide |= wide << np.uint16(4)
    wide &= np.uint16(0x0F0F)
    return wide.view(np.uint8)


def join_nibbles(codes: Bytes) -> Bytes:
    """[rows, n] codes to [rows, ceil(n / 2)] bytes, filled up with zero."""
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))


def to_words(rows_of_bytes: Bytes) -> NDArray[np.int32]:
    """[rows, n] bytes to [rows, ceil(n / 4)] words, filled up with zero."""
    missing = -rows_of_bytes.shape[1] % 4
    if missing:
        rows_of_bytes = np.pad(rows_of_bytes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(rows_of_bytes).view("<i4")


def to_bytes(words: NDArray[Any]) -> Bytes:
    """[rows, n] words to [rows, 4 n] bytes. No copy."""
    return words.view(np.uint8)


def pack_zero_points(zeros: Bytes) -> NDArray[np.int32]:
    """uint8 0..15 [out, groups] to int32 [ceil(out / 8), groups], the first row in the low bits."""
    rows, groups = zeros.shape
    # Filling with 8 is a zero point of 0 in the signed range of compressed-tensors.
    filled = np.pad(zeros, ((0, -rows % 8), (0, 0)), constant_values=8).reshape(-1, 8, groups).astype(np.uint32)
    words = np.zeros((filled.shape[0], groups), np.uint32)
    for i in range(8):
        words |= filled[:, i] << np.uint32(4 * i)
    return words.view(np.int32)


def unpack_zero_points(packed: NDArray[np.int32], rows: int) -> Bytes:
    """The inverse of `pack_zero_points`."""
    words = np.ascontiguousarray(packed).view(np.uint32)[:, None, :]
    shifts = (np.arange(8, dtype=np.uint32) * np.uint32(4))[None, :, None]
    zeros = ((words >> shifts) & np.uint32(15)).astype(np.uint8)
    return np.ascontiguousarray(zeros.reshape(-1, packed.shape[1])[:rows])
