"""Rounding every column of a matrix onto its own grid gives the matrix again, and any other value its nearest one."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.codebook import TABLES
from honed.encodings.column_grid import Gridded, column_grid, join_groups
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme, Scheme

SCHEMES: list[Scheme] = [
    Int8Scheme(None, None),
    Int8Scheme(32, 32),
    Int4Scheme(32, "symmetric"),
    Int4Scheme(64, "zero_point"),
    Int4Scheme(32, "minimum"),
    CodebookScheme(32, TABLES["normal_float"]),
    CodebookScheme(128, TABLES["power_of_two"]),
]


def encoded(scheme: Scheme, width: int = 128) -> Gridded:
    values = np.random.default_rng(0).standard_normal((6, width)).astype(np.float32)
    values[2, :32] = 0
    found = encode(Dense(values, "float32"), scheme, name="w", search=False)
    assert isinstance(found, Gridded)
    return found


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_matrix_lies_on_its_own_grid(scheme: Scheme) -> None:
    matrix = encoded(scheme)
    grid, decoded = column_grid(matrix), matrix.decode()
    columns = [grid.round(column, decoded[:, column].astype(np.float64)) for column in range(128)]
    codes = np.stack([codes for codes, _ in columns], axis=1)
    again = grid.encoded(codes)
    assert again.scheme == matrix.scheme
    np.testing.assert_allclose(np.stack([values for _, values in columns], axis=1), decoded, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(again.decode(), decoded, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_any_value_gets_the_nearest_code(scheme: Scheme) -> None:
    matrix = encoded(scheme)
    grid = column_grid(matrix)
    every = range(-127, 128) if matrix.codes.dtype == np.int8 else range(16)
    column = 70
    reached = np.stack(
        [grid.encoded(np.full(matrix.shape, code, matrix.codes.dtype)).decode()[:, column] for code in every]
    ).astype(np.float64)
    for value in np.linspace(-5, 5, 41):
        codes, decoded = grid.round(column, np.full(6, value))
        nearest = np.abs(reached - value).min(axis=0)
        np.testing.assert_allclose(np.abs(decoded - value), nearest, atol=1e-5)
        taken = grid.encoded(np.repeat(codes[:, None], 128, axis=1)).decode()[:, column]
        np.testing.assert_allclose(taken, decoded, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scheme", SCHEMES[1:], ids=str)
def test_groups_side_by_side_are_the_matrix(scheme: Scheme) -> None:
    matrix = encoded(scheme, 256)
    assert matrix.group is not None
    values = np.random.default_rng(0).standard_normal((6, 256)).astype(np.float32)
    values[2, :32] = 0
    parts = [
        encode(
            Dense(np.ascontiguousarray(values[:, first : first + matrix.group]), "float32"),
            scheme,
            name="w",
            search=False,
        )
        for first in range(0, 256, matrix.group)
    ]
    joined = join_groups([part for part in parts if isinstance(part, Gridded)], matrix.codes)
    assert joined.scheme == matrix.scheme
    np.testing.assert_array_equal(joined.decode(), matrix.decode())
