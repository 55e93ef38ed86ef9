"""Which examples a step takes in, and how they stand in it."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as some

from honed.compress.training.examples import Batches, Example, as_texts, parts

LENGTHS = some.lists(some.integers(1, 40), min_size=1, max_size=60)


@given(LENGTHS, some.integers(1, 9), some.integers(0, 3))
def test_an_epoch_takes_each_in_once(lengths: list[int], batch: int, seed: int) -> None:
    batches = Batches(lengths, batch, seed)
    for epoch in range(2):
        steps = [batches.of_step(epoch * batches.of_epoch + step) for step in range(batches.of_epoch)]
        assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
        assert all(len(step) <= batch for step in steps)


def test_steps_follow_from_the_seed_and_the_step_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 400).tolist()
    one, other = Batches(lengths, 8, 3), Batches(lengths, 8, 3)
    taken = [one.of_step(step).tolist() for step in range(150)]
    assert other.of_step(120).tolist() == taken[120]  # whatever came before
    assert other.of_step(7).tolist() == taken[7]
    assert taken[:50] != taken[50:100]
    assert Batches(lengths, 8, 4).of_step(0).tolist() != taken[0]


def test_those_of_a_step_are_of_about_one_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 4096)
    batches = Batches(lengths.tolist(), 32, 0)
    spread = [np.ptp(lengths[batches.of_step(step)]) for step in range(batches.of_epoch)]
    assert np.mean(spread) < 8
    first = [lengths[batches.of_step(step)].mean() for step in range(20)]
    assert np.ptp(first) > 30  # and steps are not in order of it


@given(LENGTHS, some.integers(1, 100))
def test_parts_are_bounded(lengths: list[int], most: int) -> None:
    found = list(parts(range(len(lengths)), lengths, most))
    assert sorted(number for part in found for number in part) == list(range(len(lengths)))
    assert all(len(part) == 1 or len(part) * max(lengths[one] for one in part) <= most for part in found)


def test_places_are_those_of_the_step() -> None:
    def example(first: int, count: int, places: list[int]) -> Example:
        ids = np.arange(first, first + count, dtype=np.int32)
        return Example(ids, np.zeros_like(ids), np.array(places, np.int32), np.zeros(len(places), np.int64))

    texts = as_texts([example(10, 3, [0, 2]), example(20, 2, []), example(30, 4, [1])], torch.device("cpu"))
    assert texts.lengths == (3, 2, 4)
    assert texts.tokens[texts.selected].tolist() == [10, 12, 31]
