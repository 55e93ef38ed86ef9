"""Against coordinate descent, which solves the same problem one weight at a time, and against least squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.lasso import refit, scaled, solve

Wide = NDArray[np.float64]
DAMPING = 0.01


def correlated(width: int, seed: int) -> Wide:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((5 * width, width)) @ (np.eye(width) + random.standard_normal((width, width)) / 4)
    rows *= np.exp(random.standard_normal(width))
    return np.asarray(rows.T @ rows / len(rows))


def damped(gram: Wide) -> Wide:
    return gram + np.diag(DAMPING * gram.diagonal())


def by_coordinates(weight: NDArray[np.float32], gram: Wide, penalties: Wide) -> Wide:
    """The minimum of (w - v) H (w - v)^T / 2 + sum_j penalty_j |v_j| for each row: Friedman et al. 2010."""
    found = np.zeros(weight.shape)
    for row, result in zip(weight.astype(np.float64), found, strict=True):
        aimed = gram @ row
        for _ in range(3000):
            for j in range(len(row)):
                rest = aimed[j] - gram[j] @ result + gram[j, j] * result[j]
                result[j] = np.sign(rest) * max(abs(rest) - penalties[j], 0) / gram[j, j]
    return found


@pytest.mark.parametrize("by_size", [False, True])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_at_the_penalty_that_was_found_coordinate_descent_gives_the_same(share: float, by_size: bool) -> None:
    gram, weight = correlated(12, 1), np.random.default_rng(3).standard_normal((4, 12)).astype(np.float32)
    inputs = scaled(gram, damping=DAMPING)
    counts = inputs.size if by_size else np.ones(12, np.float32)
    found = solve(weight, inputs, counts, share=share, steps=5000)
    assert found.pruned.sum() == round(share * 48)
    expected = by_coordinates(weight, damped(gram), found.penalty * counts.astype(np.float64))
    np.testing.assert_allclose(found.values, expected, atol=2e-3 * np.abs(weight).max())
    assert np.count_nonzero((found.values == 0) != found.pruned) <= 2
    assert np.abs(found.values[found.pruned]).max() < 0.1


def test_one_input_by_hand() -> None:
    # H is 4 but for the damping, so under a penalty p weights go towards zero by p / 4; the third of them gets there.
    weight = np.array([[3.0], [-2.0], [1.0], [0.5]], np.float32)
    found = solve(weight, scaled(np.array([[4.0]]), damping=1e-9), np.ones(1, np.float32), share=0.5, steps=100)
    np.testing.assert_allclose(found.values, [[2.0], [-1.0], [0.0], [0.0]], atol=1e-5)
    assert found.penalty == pytest.approx(4.0, rel=1e-4)


def test_what_is_left_is_fitted_as_by_least_squares() -> None:
    gram, weight = correlated(16, 5), np.random.default_rng(6).standard_normal((3, 16)).astype(np.float32)
    inputs = scaled(gram, damping=DAMPING)
    found = solve(weight, inputs, inputs.size, share=0.5, steps=500)
    fitted = refit(weight, inputs, found.values, found.pruned, steps=50)
    for row, mask, values in zip(weight, found.pruned, fitted, strict=True):
        left = ~mask
        expected = np.linalg.solve(damped(gram)[np.ix_(left, left)], (damped(gram) @ row)[left])
        np.testing.assert_allclose(values[left], expected, rtol=0, atol=2e-3 * np.abs(expected).max())
        assert (values[mask] == 0).all()


def test_an_input_that_is_always_zero_disturbs_nothing() -> None:
    gram, weight = correlated(8, 2), np.random.default_rng(4).standard_normal((2, 8)).astype(np.float32)
    gram[3] = gram[:, 3] = 0
    inputs = scaled(gram, damping=DAMPING)
    found = solve(weight, inputs, inputs.size, share=0.5, steps=200)
    assert np.isfinite(found.values).all()
    assert found.pruned.sum() == 8


def test_equal_weights_are_pruned_to_the_share_exactly() -> None:
    weight = np.full((3, 4), 0.5, np.float32)
    found = solve(weight, scaled(np.eye(4), damping=0.01), np.ones(4, np.float32), share=0.5, steps=20)
    assert found.pruned.sum() == 6
