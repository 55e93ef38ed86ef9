"""Every window is taken in once a turn, the held out ones never, and by the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from honed.compress.training.windows import Windows
from honed.errors import ParameterError
from training_models import some_windows


def windows(count: int = 21, *, held_out: int = 4, batch: int = 5, seed: int = 3) -> Windows:
    return Windows(some_windows(count), 97, held_out=held_out, batch=batch, seed=seed)


def test_a_turn_takes_in_all_but_what_is_held_out() -> None:
    made = windows()
    assert (len(made.held_out), made.count) == (2, 19)  # one in eight at most
    order = np.concatenate([made.of_step(step) for step in range(8)])
    turns = order[:19], order[19:38]
    for turn in turns:
        assert sorted([*turn, *made.held_out]) == list(range(21))
    assert not np.array_equal(*turns)


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    assert np.array_equal(windows().of_step(7), windows().of_step(7))
    assert not np.array_equal(windows().of_step(7), windows(seed=4).of_step(7))
    one = windows(3, batch=4)  # a step may take in a window twice
    assert sorted(one.of_step(0)[:2]) == sorted(one.of_step(0)[2:])


def test_what_is_taken_are_the_tokens() -> None:
    made = windows()
    taken = made.taken(np.array([2, 0]), torch.device("cpu"))
    assert taken.dtype == torch.int64
    assert taken.tolist() == [some_windows(21)[2], some_windows(21)[0]]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([[1, 2, 3]], "must be two or more of one length"),
        ([[1, 2, 3], [1, 2]], "must be two or more of one length"),
        ([[1], [2]], "must be two or more of one length"),
        ([[1, 2], [3, 97]], "must be from 0 to 96"),
    ],
)
def test_windows_that_do_not_fit_are_refused(given: list[list[int]], problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        Windows(given, 97, held_out=1, batch=1, seed=0)
