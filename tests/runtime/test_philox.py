from __future__ import annotations

import numpy as np
import pytest

from honed.runtime.philox import Uniforms, philox


@pytest.mark.parametrize("key", [0, 1, 7, 2**32, 2**64 - 1, 2**64, 2**128 - 1])
def test_the_words_are_those_of_numpy(key: int) -> None:
    stream = np.random.Philox(key=key)
    expected = [int(word) for word in stream.random_raw(40)]
    assert [word for counter in range(1, 11) for word in philox(key, counter)] == expected


def test_a_far_counter_is_reached_at_once() -> None:
    stream = np.random.Philox(key=5)
    stream.advance(2**100 + 3)
    assert philox(5, 2**100 + 4) == tuple(int(word) for word in stream.random_raw(4))


def test_numbers_depend_on_seed_and_place_alone() -> None:
    forward, backward = Uniforms(9), Uniforms(9)
    there = [forward[place] for place in range(50)]
    assert [backward[place] for place in reversed(range(50))] == there[::-1]
    assert there != [Uniforms(10)[place] for place in range(50)]
    assert all(0 <= number < 1 for number in there)
    assert there == [(int(word) >> 11) * 2.0**-53 for word in np.random.Philox(key=9).random_raw(50)]
