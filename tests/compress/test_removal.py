"""Units by what they matter, and columns that make up for others: by hand, and against numpy's least squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from honed.compress.removal import Wide, damped, energy, largest, least_missed, made_up_for


def rows_of(seed: int, count: int = 200, width: int = 12) -> Wide:
    """Inputs that follow from each other in part."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, width)) @ random.normal(size=(width, width)) * np.exp(random.normal(size=width))


def error(weight: Wide, changed: Wide, gram: Wide) -> float:
    difference = weight - changed
    return float(np.trace(difference @ gram @ difference.T))


def spread(values: Wide, kept: np.ndarray, width: int) -> Wide:
    whole = np.zeros((len(values), width))
    whole[:, kept] = values
    return whole


def test_energy_by_hand() -> None:
    weight = np.array([[1.0, 2.0, 0.0, 1.0]])
    gram = np.array([[1.0, 0.5, 9, 9], [0.5, 1.0, 9, 9], [9, 9, 4.0, 0], [9, 9, 0, 3.0]])
    np.testing.assert_allclose(energy(weight, gram, 1), [1, 4, 0, 3])
    np.testing.assert_allclose(energy(weight, gram, 2), [1 + 4 + 2 * 2 * 0.5, 3])


def test_of_equal_scores_the_first_stay_in_order() -> None:
    np.testing.assert_array_equal(largest(np.array([1.0, 3.0, 1.0, 3.0, 0.0]), 3), [0, 1, 3])


def test_a_copy_is_made_up_for_whole() -> None:
    """Inputs 0 and 2 are the same: the column of one takes over that of the other."""
    x = np.random.default_rng(3).normal(size=(50, 3))
    x[:, 2] = x[:, 0]
    gram = x.T @ x / 50
    found = made_up_for(np.array([[1.0, 2.0, 5.0]]), damped(gram, 1e-9), np.array([0, 1]))
    np.testing.assert_allclose(found, [[6.0, 2.0]], rtol=1e-6)


def test_the_columns_that_stay_are_those_of_least_squares() -> None:
    x = rows_of(4)
    weight = np.random.default_rng(5).normal(size=(7, 12))
    kept = np.array([0, 2, 3, 7, 8, 11])
    expected = np.linalg.lstsq(x[:, kept], x @ weight.T, rcond=None)[0].T
    np.testing.assert_allclose(made_up_for(weight, x.T @ x, kept), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("damping", [1e-6, 0.01, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_making_up_never_has_more_error_than_leaving_out(seed: int, damping: float) -> None:
    x = rows_of(seed)
    gram = x.T @ x / len(x)
    random = np.random.default_rng(seed + 100)
    weight, kept = random.normal(size=(7, 12)), np.sort(random.choice(12, 8, replace=False))
    repaired = spread(made_up_for(weight, damped(gram, damping), kept), kept, 12)
    assert error(weight, repaired, gram) <= error(weight, spread(weight[:, kept], kept, 12), gram)


def test_inputs_that_are_always_zero_go_first_and_nothing_fails() -> None:
    x = rows_of(6)
    x[:, [1, 4, 9]] = 0
    gram = damped(x.T @ x / len(x), 0.01)
    weight = np.random.default_rng(7).normal(size=(5, 12))
    kept = least_missed(weight, gram, 1, 9)
    assert not {1, 4, 9} & set(kept)
    assert np.isfinite(made_up_for(weight, gram, kept)).all()
    zero = damped(np.zeros((4, 4)), 0.01)
    assert len(least_missed(np.ones((2, 4)), zero, 2, 1)) == 1


@pytest.mark.parametrize("columns", [1, 3])
def test_the_first_to_go_is_the_one_that_the_others_make_up_for_best(columns: int) -> None:
    x = rows_of(8)
    gram = damped(x.T @ x / len(x), 0.01)
    weight = np.random.default_rng(9).normal(size=(5, 12))
    count = 12 // columns

    def left(units: tuple[int, ...]) -> float:
        kept = (np.array(units)[:, None] * columns + np.arange(columns)).ravel()
        return error(weight, spread(made_up_for(weight, gram, kept), kept, 12), gram)

    best = min(itertools.combinations(range(count), count - 1), key=left)
    np.testing.assert_array_equal(least_missed(weight, gram, columns, count - 1), best)


def test_what_goes_by_what_is_made_up_for_is_missed_less_than_by_energy() -> None:
    ratios = []
    for seed in range(20):
        x = rows_of(seed, width=40)
        gram = x.T @ x / len(x)
        weight, steady = np.random.default_rng(seed).normal(size=(9, 40)), damped(gram, 1e-3)
        by_both = least_missed(weight, steady, 1, 28), largest(energy(weight, gram, 1), 28)
        lost, more = (error(weight, spread(made_up_for(weight, steady, kept), kept, 40), gram) for kept in by_both)
        ratios.append(lost / more)
    assert np.exp(np.mean(np.log(ratios))) < 0.9
    assert sum(ratio < 1 for ratio in ratios) >= 16
