"""Words of GPTQ and AWQ, written out by hand."""

from __future__ import annotations

import numpy as np

from honed.checkpoints.gptq_awq.layouts import awq_codes, awq_zeros, gptq_codes, gptq_zeros, in_stored_order


def int32(values: list[list[int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(values, np.uint32).view(np.int32)


def test_gptq_packs_inputs_from_the_low_bits_on() -> None:
    found = gptq_codes(int32([[0x76543210, 0xFEDCBA98]]), 4)
    np.testing.assert_array_equal(found, [range(8), range(8, 16)])


def test_gptq_has_eight_and_two_bits_too() -> None:
    np.testing.assert_array_equal(gptq_codes(int32([[0x04030201]]), 8), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(gptq_codes(int32([[0b11_10_01_00]]), 2)[0, :4], [0, 1, 2, 3])


def test_zero_points_are_stored_less_one_and_may_reach_sixteen() -> None:
    found = gptq_zeros(int32([[0xF7654321]]), 4, 1)
    np.testing.assert_array_equal(found[:, 0], [2, 3, 4, 5, 6, 7, 8, 16])
    np.testing.assert_array_equal(gptq_zeros(int32([[0xF7654321]]), 4, 0)[:, 0], [1, 2, 3, 4, 5, 6, 7, 15])


def test_awq_interleaves_outputs() -> None:
    # Nibbles from the low bits on are outputs 0, 2, 4, 6, 1, 3, 5, 7.
    word = int32([[0x75316420]])
    np.testing.assert_array_equal(awq_codes(word)[:, 0], range(8))
    np.testing.assert_array_equal(awq_zeros(word)[:, 0], range(8))


def test_inputs_in_the_order_of_their_groups() -> None:
    assert in_stored_order(np.array([0, 0, 1, 1], np.int32), 2)
    assert not in_stored_order(np.array([0, 1, 0, 1], np.int32), 2)
