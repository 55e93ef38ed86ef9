from __future__ import annotations

import numpy as np
import pytest

from honed.compress.dense import dense_scheme, row_chunks, to_dense
from honed.compress.narrowing import Narrow
from honed.compress.weights import DeferredWeight
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


def test_what_is_to_be_exact_stays_in_float32() -> None:
    assert dense_scheme(Dense(np.zeros((4, 3), np.float32), "float32"), exact=True) == DenseScheme("float32")
    assert dense_scheme(Dense(np.zeros((4, 3), np.float16), "float16"), exact=True) == DenseScheme("float16")


def test_what_a_pass_made_anew_keeps_the_type_of_its_source() -> None:
    half = Dense(np.ones((4, 3), np.float16), "float16")
    deferred = DeferredWeight(half, lambda: Dense(np.full((4, 3), 0.1, np.float32), "float32"))
    narrow = Narrow(deferred, lambda: np.array([0, 2]), 1, 2)
    assert dense_scheme(narrow) == DenseScheme("float16")
    stored = to_dense(narrow, DenseScheme("float16"))
    np.testing.assert_array_equal(stored.values, np.full((4, 2), 0.1, np.float16))


def test_narrowing_to_bfloat16_rounds_to_nearest() -> None:
    values = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    kept = to_dense(Dense(values, "float32"), DenseScheme("bfloat16"))
    assert kept.values.dtype == np.uint16
    assert np.abs(bfloat16_to_float32(kept.values.astype(np.uint16)) / values - 1).max() <= 2**-8


@pytest.mark.parametrize("shape", [(3000, 1000), (1, 1), (5, 10**8)])
def test_chunks_are_all_rows_in_order(shape: tuple[int, int]) -> None:
    assert [row for rows in row_chunks(shape) for row in range(shape[0])[rows]] == list(range(shape[0]))
