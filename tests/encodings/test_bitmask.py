"""Bits and values come back as the matrix that they were taken from."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.bitmask import count_bits, pack_bits, row_starts, spread, unpack_bits


@pytest.mark.parametrize("width", [1, 8, 21, 64])
def test_there_and_back(width: int) -> None:
    random = np.random.default_rng(width)
    values = random.integers(1, 100, (7, width)).astype(np.int8)
    kept = random.random((7, width)) < 0.4
    bits = pack_bits(kept)
    assert bits.shape == (7, -(-width // 8))
    np.testing.assert_array_equal(unpack_bits(bits, width), kept)
    np.testing.assert_array_equal(count_bits(bits, width), kept.sum(axis=1))
    assert row_starts(bits, width).tolist() == [0, *np.cumsum(kept.sum(axis=1)).tolist()]
    np.testing.assert_array_equal(spread(bits, values[kept], width), np.where(kept, values, 0))


def test_bits_beyond_the_width_do_not_count() -> None:
    assert count_bits(np.full((3, 2), 255, np.uint8), 11).tolist() == [11, 11, 11]


def test_the_first_value_of_a_byte_is_its_lowest_bit() -> None:
    assert pack_bits(np.array([[True, False, False, True, False, False, False, False, False, True]])).tolist() == [
        [9, 2]
    ]
