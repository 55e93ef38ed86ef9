"""What is found once: by one thread of several, and without holding up those that make something else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from honed.compress.once import Once
from honed.compress.weights import DeferredWeight
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense


def test_several_threads_find_it_once() -> None:
    found: list[int] = []
    barrier = Barrier(4)

    def find() -> int:
        found.append(len(found))
        return found[-1]

    once = Once(find)

    def ask(_: int) -> int:
        barrier.wait(10)
        return once()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [0, 0, 0, 0]
    assert found == [0]


def test_an_error_is_not_kept() -> None:
    tries: list[int] = []

    def find() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return 7

    once = Once(find)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert once() == 7


def test_a_weight_is_made_of_another_that_a_second_thread_makes() -> None:
    """As a pass does that goes block by block behind one that moved factors."""
    dense = Dense(np.ones((2, 2), np.float32), "float32")
    inner = DeferredWeight(dense, lambda: dense)
    pool = ThreadPoolExecutor(1)

    def resolve() -> Encoded:
        return Dense(2 * pool.submit(inner.decode).result(10), "float32")

    np.testing.assert_array_equal(DeferredWeight(dense, resolve).decode(), 2 * dense.decode())
    pool.shutdown()
