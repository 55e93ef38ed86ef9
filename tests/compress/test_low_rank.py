"""Against numpy's own singular value decomposition, and the bound of Eckart and Young."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.low_rank import LowRank, low_rank

SHAPES = [(24, 40), (40, 24), (32, 32)]


def matrix(outputs: int, inputs: int) -> NDArray[np.float32]:
    return np.random.default_rng(outputs).standard_normal((outputs, inputs)).astype(np.float32)


def skewed(inputs: int) -> NDArray[np.float64]:
    """The Gram matrix of inputs that are spread over some directions much more than over others."""
    random = np.random.default_rng(inputs)
    rows = random.standard_normal((300, inputs)) @ (random.standard_normal((inputs, inputs)) * 0.3)
    rows *= np.exp(random.standard_normal(inputs))
    return rows.T @ rows / len(rows)


def product(found: LowRank, rank: int) -> NDArray[np.float64]:
    outer, inner = found.factors(rank)
    return outer.astype(np.float64) @ inner.astype(np.float64)


def loss(difference: NDArray[np.float64], gram: NDArray[np.float64]) -> float:
    return float(np.trace(difference @ gram @ difference.T))


@pytest.mark.parametrize("shape", SHAPES)
def test_where_all_inputs_count_the_same_it_is_the_truncated_decomposition(shape: tuple[int, int]) -> None:
    weight = matrix(*shape)
    left, singular, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    found = low_rank(weight, None, damping=0.01)
    np.testing.assert_allclose(found.energies, singular**2, rtol=1e-9)
    for rank in (1, 8, 20):
        np.testing.assert_allclose(product(found, rank), left[:, :rank] * singular[:rank] @ right[:rank], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_given_inputs_it_is_the_decomposition_of_the_whitened_matrix(shape: tuple[int, int]) -> None:
    weight, gram = matrix(*shape), skewed(shape[1])
    damped = gram + 0.01 * np.diag(gram).mean() * np.eye(shape[1])
    lower = np.linalg.cholesky(damped)
    left, singular, right = np.linalg.svd(weight @ lower, full_matrices=False)
    found = low_rank(weight, gram, damping=0.01)
    for rank in (1, 8, 20):
        expected = left[:, :rank] * singular[:rank] @ right[:rank] @ np.linalg.inv(lower)
        np.testing.assert_allclose(product(found, rank), expected, atol=1e-4 * np.abs(expected).max())
        # Eckart and Young: what is lost is the sum of the squares left out, and nothing of that rank loses less.
        lost = loss(product(found, rank) - weight, damped)
        assert lost == pytest.approx(float((singular[rank:] ** 2).sum()), rel=1e-4)
        assert lost == pytest.approx(float(found.energies[rank:].sum()), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_loses_less_of_these_inputs_than_the_plain_decomposition(shape: tuple[int, int]) -> None:
    weight, gram = matrix(*shape), skewed(shape[1])
    for rank in (4, 16):
        aware = loss(product(low_rank(weight, gram, damping=1e-6), rank) - weight, gram)
        plain = loss(product(low_rank(weight, None, damping=1e-6), rank) - weight, gram)
        assert aware < 0.7 * plain


@pytest.mark.parametrize("shape", SHAPES)
def test_at_full_rank_nothing_is_lost(shape: tuple[int, int]) -> None:
    weight = matrix(*shape)
    found = low_rank(weight, skewed(shape[1]), damping=0.01)
    np.testing.assert_allclose(product(found, min(shape)), weight, atol=1e-5)


def test_both_factors_have_their_share_of_the_singular_values() -> None:
    outer, inner = low_rank(matrix(24, 40), None, damping=0.01).factors(24)
    np.testing.assert_allclose(np.linalg.norm(outer, axis=0), np.linalg.norm(inner, axis=1), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_and_weights_that_are_zero_give_finite_factors(shape: tuple[int, int]) -> None:
    weight, gram = matrix(*shape), skewed(shape[1])
    gram[:5], gram[:, :5] = 0, 0
    for given, among in ((weight, gram), (weight, gram * 0), (weight * 0, gram)):
        found = low_rank(given, among, damping=0.01)
        assert np.isfinite(product(found, 8)).all()
    lost = product(low_rank(weight, gram, damping=1e-9), 16) - weight
    assert loss(lost, gram) <= float(low_rank(weight, gram, damping=1e-9).energies[16:].sum()) * 1.01 + 1e-3


@pytest.mark.parametrize("rank", [0, 25])
def test_a_rank_that_there_is_not(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank {rank} must be from 1 to 24"):
        low_rank(matrix(24, 40), None, damping=0.01).factors(rank)
