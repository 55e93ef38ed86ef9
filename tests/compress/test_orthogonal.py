"""Matrices of Hadamard where they are known, orthogonal ones everywhere, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from honed.compress.orthogonal import Wide, hadamard, keeping_mean, random_hadamard, random_orthogonal

# Hidden widths of models that there are, and orders of each construction: 12 and 20 (Paley I), 36 and 28 (II).
ORDERS = (1, 2, 4, 8, 12, 20, 28, 36, 44, 60, 64, 128, 576, 768, 896, 960, 1536, 2048, 2304, 3072, 3584, 5120)


@pytest.mark.parametrize("order", ORDERS)
def test_rows_of_signs_are_orthogonal(order: int) -> None:
    found = hadamard(order)
    assert set(np.unique(found)) <= {-1.0, 1.0}
    np.testing.assert_array_equal(found @ found.T, order * np.eye(order))


def test_the_first_orders_are_what_everybody_writes() -> None:
    np.testing.assert_array_equal(hadamard(2), [[1, 1], [1, -1]])
    # Paley I over the integers modulo 3, whose one residue is 1.
    np.testing.assert_array_equal(hadamard(4), [[1, 1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1], [-1, -1, 1, 1]])


@pytest.mark.parametrize("order", [3, 6, 10, 54, 92])
def test_an_order_that_is_not_known_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match=f"order {order}"):
        hadamard(order)


@pytest.mark.parametrize("width", [1, 3, 54, 92, 96, 576])
@pytest.mark.parametrize("make", [random_hadamard, random_orthogonal])
def test_random_ones_are_orthogonal_and_go_by_the_seed(
    width: int, make: Callable[[int, np.random.Generator], Wide]
) -> None:
    first, again, other = (make(width, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_allclose(first @ first.T, np.eye(width), atol=1e-13)
    np.testing.assert_array_equal(first, again)
    assert width == 1 or not np.array_equal(first, other)


def test_one_feature_is_spread_evenly_where_there_is_a_matrix_of_hadamard() -> None:
    even = np.abs(random_hadamard(96, np.random.default_rng(0)))
    np.testing.assert_allclose(even, 96**-0.5)
    # Of 54 the factor 2 has one, so each feature spreads over both blocks alike.
    blocks = random_hadamard(54, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(blocks[:, :27]), np.abs(blocks[:, 27:]))


@pytest.mark.parametrize("width", [2, 3, 54, 96])
def test_a_turn_can_leave_the_mean_as_it_is(width: int) -> None:
    random = np.random.default_rng(3)
    turn = keeping_mean(random_hadamard(width, random))
    np.testing.assert_allclose(turn @ turn.T, np.eye(width), atol=1e-13)
    rows = random.standard_normal((5, width))
    np.testing.assert_allclose((rows @ turn).mean(axis=1), rows.mean(axis=1), atol=1e-13)
    np.testing.assert_array_equal(keeping_mean(np.eye(width)), np.eye(width))
