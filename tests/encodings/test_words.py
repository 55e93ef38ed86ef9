"""Codes as they lie on disk, and back; that the library packs them so is in the tests of its format."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.words import (
    join_nibbles,
    pack_zero_points,
    split_nibbles,
    to_bytes,
    to_words,
    unpack_zero_points,
)

RANDOM = np.random.default_rng(3)


def test_nibbles_of_every_byte() -> None:
    pairs = np.arange(256, dtype=np.uint8)[None, :]
    assert split_nibbles(pairs).tolist() == [[part for byte in range(256) for part in (byte % 16, byte // 16)]]


@pytest.mark.parametrize("width", [1, 4, 7, 32])
def test_there_and_back(width: int) -> None:
    codes = RANDOM.integers(0, 16, (5, width)).astype(np.uint8)
    assert np.array_equal(split_nibbles(join_nibbles(codes))[:, :width], codes)
    words = to_words(codes)
    assert words.dtype == np.int32
    assert words.shape == (5, -(-width // 4))
    assert np.array_equal(to_bytes(words)[:, :width], codes)
    assert not to_bytes(words)[:, width:].any()
    packed = pack_zero_points(codes)
    assert packed.shape == (1, width)
    assert np.array_equal(unpack_zero_points(packed, 5), codes)
