"""Rounding into any scheme, and what counts of its error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.encodings.codebook import TABLES, CodebookScheme
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme, Scheme

SEARCHED: list[Scheme] = [
    Int4Scheme(32, "symmetric"),
    Int4Scheme(32, "zero_point"),
    Int4Scheme(64, "minimum"),
    CodebookScheme(32, TABLES["normal_float"]),
    CodebookScheme(32, TABLES["power_of_two"]),
]


def matrix(width: int = 192) -> Dense:
    return Dense(np.random.default_rng(1).standard_normal((24, width)).astype(np.float32), "float32")


def counted_error(weight: Dense, scheme: Scheme, importance: NDArray[np.float64], *, told: bool) -> float:
    found = encode(weight, scheme, name="w", importance=importance if told else None)
    return float((np.square(found.decode().astype(np.float64) - weight.decode()) * importance).sum())


@pytest.mark.parametrize("scheme", [*SEARCHED, Int8Scheme(32), Int8Scheme(None)], ids=str)
def test_a_weight_becomes_what_the_scheme_says(scheme: Scheme) -> None:
    assert encode(matrix(), scheme, name="w").scheme == scheme


@pytest.mark.parametrize("scheme", SEARCHED, ids=str)
def test_errors_that_count_more_are_smaller(scheme: Scheme) -> None:
    importance = np.exp(2 * np.random.default_rng(2).standard_normal(192))
    plain = counted_error(matrix(), scheme, importance, told=False)
    assert counted_error(matrix(), scheme, importance, told=True) < 0.9 * plain


@pytest.mark.parametrize("scheme", SEARCHED, ids=str)
def test_inputs_that_count_alike_change_nothing_but_roundings(scheme: Scheme) -> None:
    alike = np.full(192, 3.5)
    plain = counted_error(matrix(), scheme, alike, told=False)
    assert counted_error(matrix(), scheme, alike, told=True) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("scheme", SEARCHED, ids=str)
def test_inputs_that_count_nothing_are_still_rounded(scheme: Scheme) -> None:
    nothing = np.zeros(192)
    nothing[:5] = 1
    found = encode(matrix(), scheme, name="w", importance=nothing)
    assert np.isfinite(found.decode()).all()
    assert float(np.abs(found.decode() - matrix().decode()).mean()) < 0.3


def test_nothing_is_rounded_to_dense() -> None:
    with pytest.raises(TypeError, match="nothing is rounded"):
        encode(matrix(), DenseScheme("float32"), name="w")
