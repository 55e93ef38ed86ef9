"""A fitted table is near the one that weights were made of, and better than those that have a name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.encodings.codebook import TABLES, Table, check_table
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.codebook_fit import fit_table
from honed.encodings.dense import Dense

Matrix = NDArray[np.float32]


def dense(values: Matrix) -> Dense:
    return Dense(values, "float32")


def error(values: Matrix, table: Table, importance: NDArray[np.float64] | None = None, group: int = 32) -> float:
    found = encode_codebook(dense(values), name="w", table=table, group=group, importance=importance).decode()
    counts = np.ones(values.shape[1]) if importance is None else importance
    return float((np.square(found - values) * counts).sum())


def drawn(kind: str, shape: tuple[int, int] = (64, 256)) -> Matrix:
    random = np.random.default_rng(7)
    drawing: dict[str, Callable[[tuple[int, int]], NDArray[np.floating]]] = {
        "normal": random.standard_normal,
        "even": lambda size: random.uniform(-1, 1, size),
        "heavy": lambda size: random.standard_t(3, size),
        "one-sided": lambda size: np.abs(random.standard_normal(size)) - 0.2,
    }
    return np.asarray(drawing[kind](shape), np.float32)


def test_sixteen_values_come_back() -> None:
    table = (-127, -94, -71, -48, -37, -20, -10, 2, 14, 24, 36, 46, 60, 77, 97, 121)
    random = np.random.default_rng(3)
    codes = random.integers(0, 16, (128, 128))
    codes[:, ::32] = 0  # in every group the largest, so that it has the scale that it was made with
    scales = np.repeat(2.0 ** random.integers(-8, -4, (128, 4)), 32, axis=1)
    values = (np.array(table)[codes] * scales).astype(np.float32)
    assert error(values, TABLES["normal_float"]) > 0
    found = fit_table([dense(values)], 32, name="w")
    assert error(values, found) < 0.02 * error(values, TABLES["normal_float"])


@pytest.mark.parametrize("kind", ["normal", "even", "heavy", "one-sided"])
@pytest.mark.parametrize("group", [32, 128])
def test_it_fits_better_than_all_that_have_a_name(kind: str, group: int) -> None:
    values = drawn(kind)
    found = fit_table([dense(values)], group, name="w")
    check_table(found)
    assert max(abs(value) for value in found) == 127
    assert error(values, found, group=group) < min(error(values, table, group=group) for table in TABLES.values())


def test_errors_count_by_importance() -> None:
    values = drawn("normal")
    values[:, 128:] = np.abs(values[:, 128:])
    importance = np.where(np.arange(256) < 128, 0.01, 1.0)
    plain, counted = (
        fit_table([dense(values)], 32, name="w"),
        fit_table([dense(values)], 32, name="w", importance=importance),
    )
    assert error(values, counted, importance) < error(values, plain, importance)


def test_matrices_that_share_it_are_fitted_together() -> None:
    first, second = drawn("even"), drawn("heavy", (32, 256))
    shared = fit_table([dense(first), dense(second)], 32, name="w")
    assert shared == fit_table([dense(np.vstack([first, second]))], 32, name="w")
    assert shared not in (fit_table([dense(first)], 32, name="w"), fit_table([dense(second)], 32, name="w"))


def test_large_matrices_are_fitted_to_rows_all_over_them() -> None:
    values = np.repeat(drawn("even", (1024, 256)), 1, axis=0)
    values[500:] = drawn("heavy", (524, 256))
    found = fit_table([dense(values)], 32, name="w")
    assert found not in (fit_table([dense(part)], 32, name="w") for part in (values[:500], values[500:]))


def test_nothing_but_zeros_has_a_table_too() -> None:
    check_table(fit_table([dense(np.zeros((4, 64), np.float32))], 32, name="w"))
