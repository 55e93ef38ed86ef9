from __future__ import annotations

import numpy as np
import pytest

from honed.compress.dense import dense_scheme, row_chunks, to_dense
from honed.encodings.dense import Dense, DenseType, bfloat16_to_float32
from honed.encodings.scheme import DenseScheme


@pytest.mark.parametrize(
    ("shape", "dtype", "stored"),
    [
        ((4, 3), "float32", "bfloat16"),
        ((4,), "float32", "float32"),
        ((4, 3), "float16", "float16"),
        ((4,), "bfloat16", "bfloat16"),
    ],
)
def test_matrices_become_bfloat16_and_what_is_short_already_stays(
    shape: tuple[int, ...], dtype: DenseType, stored: DenseType
) -> None:
    weight = Dense(np.zeros(shape, {"float32": "f4", "float16": "f2", "bfloat16": "u2"}[dtype]), dtype)
    assert dense_scheme(weight) == DenseScheme(stored)
    assert to_dense(weight, DenseScheme(stored)).dtype == stored


def test_narrowing_to_bfloat16_rounds_to_nearest() -> None:
    values = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    kept = to_dense(Dense(values, "float32"), DenseScheme("bfloat16"))
    assert kept.values.dtype == np.uint16
    assert np.abs(bfloat16_to_float32(kept.values.astype(np.uint16)) / values - 1).max() <= 2**-8


@pytest.mark.parametrize("shape", [(3000, 1000), (1, 1), (5, 10**8)])
def test_chunks_are_all_rows_in_order(shape: tuple[int, int]) -> None:
    assert [row for rows in row_chunks(shape) for row in range(shape[0])[rows]] == list(range(shape[0]))
