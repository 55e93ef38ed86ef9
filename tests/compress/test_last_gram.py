"""What was made last is given again for the same matrix, and let go before another is made."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from numpy.typing import NDArray

from honed.compress.last_gram import OfLastGram


class Made:
    def __init__(self, gram: NDArray[np.float64]) -> None:
        self.total = float(gram.sum())


def test_it_is_made_once_for_a_matrix_that_is_asked_for_again() -> None:
    made = OfLastGram(Made)
    one, alike = np.ones((2, 2)), np.ones((2, 2))
    first = made(one)
    assert first.total == 4
    assert made(one) is first
    assert made(alike) is not first
    assert made(one) is not first


def test_what_was_made_before_is_gone_when_the_next_is_made() -> None:
    seen: list[bool] = []
    before: list[weakref.ref[Made]] = []

    def make(gram: NDArray[np.float64]) -> Made:
        gc.collect()
        seen.extend(kept() is None for kept in before)
        made = Made(gram)
        before.append(weakref.ref(made))
        return made

    made = OfLastGram(make)
    for size in (2, 3, 4):
        made(np.eye(size))
    assert seen == [True, True, True]
