"""Exactly as many as asked for become zero, and those that matter least; of equal ones the first."""

from __future__ import annotations

import numpy as np
import pytest

from honed.compress.masks import least, least_of_all, least_of_rows, least_of_runs


def test_the_least_of_each_row_and_of_equal_ones_the_first() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert least(scores, 2).tolist() == [[False, True, False, True, False], [True, True, False, False, False]]
    assert not least(scores, 0).any()
    assert least(scores, 5).all()


@pytest.mark.parametrize("values", [3, 1 << 20])
@pytest.mark.parametrize("count", [1, 7, 30])
def test_as_a_stable_sort_has_it(values: int, count: int) -> None:
    scores = np.random.default_rng(values + count).integers(0, values, (20, 31)).astype(np.float32)
    ranks = scores.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    np.testing.assert_array_equal(least(scores, count), ranks < count)


def test_shares_are_of_rows_or_of_the_whole() -> None:
    scores = np.arange(24.0).reshape(4, 6)
    assert least_of_rows(scores, 0.5).sum(axis=1).tolist() == [3, 3, 3, 3]
    assert least_of_all(scores, 0.25).sum(axis=1).tolist() == [6, 0, 0, 0]


@pytest.mark.parametrize(("left", "of"), [(2, 4), (1, 4), (4, 8), (3, 6), (1, 2), (16, 32)])
def test_of_each_run_as_many_are_left_as_the_pattern_says(left: int, of: int) -> None:
    scores = np.random.default_rng(of).integers(0, 4, (11, 3 * of)).astype(np.float32)
    pruned = least_of_runs(scores, left, of).reshape(11, 3, of)
    assert (of - pruned.sum(axis=2) == left).all()
    runs = scores.reshape(11, 3, of)
    most = np.where(pruned, runs, -np.inf).max(axis=2)
    assert (most <= np.where(pruned, np.inf, runs).min(axis=2)).all()
