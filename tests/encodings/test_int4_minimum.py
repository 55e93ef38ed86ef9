"""Lines through groups: 4-bit grids of other tools come back exactly, and a search only ever helps."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4
from honed.encodings.int4_encoder import encode_int4


def encode(values: np.ndarray, *, search: bool) -> Int4:
    return encode_int4(Dense(values.astype(np.float32), "float32"), name="w", group=32, offset="minimum", search=search)


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 50.0])
def test_a_q4_1_weight_comes_back_exactly(search: bool, spread: float) -> None:
    original = np.random.default_rng(0).normal(0.01, spread, (64, 256)).astype(np.float32)
    quantized = gguf.quants.quantize(original, gguf.GGMLQuantizationType.Q4_1)
    values = gguf.quants.dequantize(quantized, gguf.GGMLQuantizationType.Q4_1)
    np.testing.assert_array_equal(encode(values, search=search).decode(), values)


def test_without_a_search_values_are_within_half_a_step() -> None:
    values = np.random.default_rng(1).normal(size=(40, 100)).astype(np.float32)
    encoded = encode(values, search=False)
    step = np.repeat(encoded.scales.astype(np.float64), 32, axis=1)[:, :100]
    # Minimum and scale are rounded to float16 first: a part in two thousand of the range on top.
    assert (np.abs(encoded.decode() - values) <= step * 0.5 + np.abs(values).max() * 2**-10).all()


def test_a_minimum_beats_a_zero_point_on_skewed_groups() -> None:
    values = np.random.default_rng(2).exponential(size=(64, 128)).astype(np.float32) + 3
    dense = Dense(values, "float32")
    error = {
        offset: float(np.square(encode_int4(dense, name="w", offset=offset).decode() - values).sum())
        for offset in ("zero_point", "minimum")
    }
    assert error["minimum"] < 0.5 * error["zero_point"]


def test_constant_groups_are_kept() -> None:
    values = np.repeat(np.array([[0.0, 1.5, -2.25, 0.125]], np.float32), 32, axis=1)
    np.testing.assert_array_equal(encode(values, search=True).decode(), values)
