"""Sums of squares of columns: exact products in float64, one row after the other."""

from __future__ import annotations

import numpy as np
import pytest
from native_plans import native


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (130, 1025), (0, 4), (4, 0)])
def test_sums_are_those_of_one_row_after_the_other(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(7).normal(size=shape).astype(np.float32) * np.float32(1e3)
    expected = np.zeros(shape[1])
    for row in rows:
        expected += row.astype(np.float64) ** 2
    found = native.column_squares(rows)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_squares_do_not_overflow() -> None:
    assert native.column_squares(np.full((2, 1), 2.0**120, np.float32)).tolist() == [2.0**241]


def test_other_arrays_are_refused() -> None:
    rows = np.zeros((4, 6), np.float32)
    for wrong in (rows.astype(np.float64), rows.T, rows.tolist()):
        with pytest.raises(TypeError):
            native.column_squares(wrong)
    with pytest.raises(ValueError, match="rows"):
        native.column_squares(rows[0])
