"""Rounding to Q4_K: what is written means to the gguf package what it means here, and no code could be better."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from honed.encodings.gguf_formats import six_bit_pairs
from honed.encodings.gguf_k_rounding import q4_k
from honed.encodings.gguf_rounding import BY_NAME, round_rows

FORM = BY_NAME["Q4_K"]


def decoded(values: np.ndarray) -> np.ndarray:
    return FORM.decode(q4_k(values, FORM))


def normal(count: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(7).standard_normal((count, 256)) + shift).astype(np.float32)


@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_the_gguf_package_reads_what_is_read_here(shift: float) -> None:
    rows = round_rows("Q4_K", normal(40, shift))
    theirs = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType.Q4_K)
    np.testing.assert_array_equal(theirs.reshape(-1, 256), decoded(normal(40, shift)))


def test_no_code_by_itself_would_be_nearer() -> None:
    values = normal(50)
    records = q4_k(values, FORM)
    codes = FORM.codes(records).astype(np.float32) if FORM.codes else np.zeros(())
    scales, minimums = six_bit_pairs(records["scales"])
    scale = (records["d"].astype(np.float32)[:, None] * scales).repeat(32, axis=1)
    minimum = (records["m"].astype(np.float32)[:, None] * minimums).repeat(32, axis=1)
    errors = np.abs(scale * codes - minimum - values)
    for step in (-1, 1):
        other = (codes + step).clip(0, 15)
        assert (errors <= np.abs(scale * other - minimum - values) + 1e-6).all()


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_error_is_below_that_of_a_scale_and_a_minimum_of_16_bits_from_the_ends(kind: str) -> None:
    values = normal(200)
    if kind == "heavy":
        values = values**3
    records = round_rows("Q4_1", values).view(BY_NAME["Q4_1"].layout).reshape(-1)
    ends = BY_NAME["Q4_1"].decode(records).reshape(-1, 256)
    assert np.square(decoded(values) - values).sum() < 0.95 * np.square(ends - values).sum()


def test_what_lies_on_its_grid_comes_back() -> None:
    random = np.random.default_rng(1)
    codes = random.integers(0, 16, (30, 8, 32))
    codes[:, :, 0], codes[:, :, 1] = 0, 15
    scales, minimums = random.integers(20, 64, (30, 8, 1)), random.integers(20, 64, (30, 8, 1))
    scales[:, 0], minimums[:, 0] = 63, 63
    values = (scales * codes * 2.0**-10 - minimums * 2.0**-7).astype(np.float32).reshape(30, 256)
    np.testing.assert_allclose(decoded(values), values, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.75, -0.75, 1e-30])
def test_blocks_of_one_value(value: float) -> None:
    np.testing.assert_allclose(decoded(np.full((2, 256), value, np.float32)), value, rtol=2e-3, atol=1e-6)


def test_groups_without_a_spread_beside_others() -> None:
    values = normal(3)
    values[:, :32], values[:, 32:64] = 0, 2.0
    found = decoded(values)
    assert (found[:, :32] == 0).all()
    np.testing.assert_allclose(found[:, 32:64], 2.0, rtol=0.06)
