"""Sums over rows against numpy in float64; Gram matrices are symmetric and the same on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from honed.compress.row_statistics import outer_sums, square_sums
from honed.native import extension


@pytest.mark.parametrize("shape", [(1, 5), (127, 33), (1100, 70), (40, 700), (30, 1500)])
def test_sums_are_those_of_float64(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(square_sums(rows), (wide**2).sum(0), rtol=1e-12)
    found = outer_sums(rows, 1)
    np.testing.assert_allclose(found, wide.T @ wide, atol=1e-6 * len(rows))
    np.testing.assert_array_equal(found, found.T)


def test_a_gram_matrix_is_the_same_on_every_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(4).normal(size=(600, 300)).astype(np.float32)
    expected = outer_sums(rows, 1)
    for isa in extension.isas():
        monkeypatch.setenv("HONED_ISA", isa)
        np.testing.assert_array_equal(outer_sums(rows, 2), expected, err_msg=isa)
