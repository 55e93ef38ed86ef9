"""Packing and matmul of every encoding, against numpy, through the smallest plan that holds one.

Activations are whole numbers whose groups peak at 127, so that quantizing them changes nothing and the integer
products are known exactly; the float work around them follows the order that native/cpu/kernel_table.h writes down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from native_plans import Floats, executor, matmul_plan, native, run_all_rows
from numpy.typing import NDArray

from honed.backends.float32 import fma
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16

ISAS = native.isas()
SHAPES = [(1, 1, 1), (3, 17, 33), (5, 40, 64), (2, 96, 129), (17, 33, 200), (4, 70, 576)]


def whole_activations(rng: np.random.Generator, rows: int, k: int) -> Floats:
    x = rng.integers(-127, 128, (rows, k)).astype(np.float32)
    x[:, ::32] = 127
    return x


def run(x: Floats, matrix: Any, isa: str, **plan: Any) -> Floats:
    return run_all_rows(executor(matmul_plan(x, matrix, **plan), isa=isa), x.shape[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_dense(shape: tuple[int, int, int], dtype: str, stored: str, isa: str) -> None:
    rows, n, k = shape
    rng = np.random.default_rng(n)
    x = rng.standard_normal((rows, k)).astype(np.float32)
    weight = rng.standard_normal((n, k)).astype(np.float32)
    values: NDArray[Any] = weight
    if stored == "bfloat16":
        values = float32_to_bfloat16(weight)
        weight = bfloat16_to_float32(values)
    elif stored == "float16":
        values = weight.astype(np.float16)
        weight = values.astype(np.float32)
    if dtype == "bfloat16":
        weight = bfloat16_to_float32(float32_to_bfloat16(weight))
    builder = native.DenseBuilder(n, k, dtype, 2)
    builder.place(values, stored, 0, 1)
    expected = np.zeros((rows, n), dtype=np.float32)
    for i in range(k):
        expected = fma(x[:, i : i + 1], weight[None, :, i], expected)
    np.testing.assert_array_equal(run(x, builder.finish(), isa, columns=n, quantized=False), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation_group", [0, 32, 64, 128])
@pytest.mark.parametrize("shape", SHAPES)
def test_int8_one_scale_a_column(shape: tuple[int, int, int], activation_group: int, isa: str) -> None:
    rows, n, k = shape
    rng = np.random.default_rng(k)
    x = whole_activations(rng, rows, k)
    codes = rng.integers(-127, 128, (n, k)).astype(np.int8)
    scales = rng.standard_normal(n).astype(np.float32)
    builder = native.Int8Builder(n, k, None)
    builder.place(codes, scales, 0, 1)
    sums = np.zeros((rows, n), dtype=np.float32)
    for start in range(0, k, activation_group or k):
        part = slice(start, start + (activation_group or k))
        sums = fma((x[:, part].astype(np.int64) @ codes[:, part].T).astype(np.float32), np.float32(1), sums)
    result = run(x, builder.finish(), isa, columns=n, quantized=True, activation_group=activation_group)
    np.testing.assert_array_equal(result, sums * scales)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("grouped_activations", [False, True])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("shape", SHAPES)
def test_int8_groups(shape: tuple[int, int, int], group: int, grouped_activations: bool, isa: str) -> None:
    rows, n, k = shape
    rng = np.random.default_rng(k)
    x = whole_activations(rng, rows, k)
    codes = rng.integers(-127, 128, (n, k)).astype(np.int8)
    scales = rng.standard_normal((n, -(-k // group))).astype(np.float16)
    builder = native.Int8Builder(n, k, group, 2)
    builder.place(codes, scales, 0, 1)
    expected = np.zeros((rows, n), dtype=np.float32)
    for g, start in enumerate(range(0, k, group)):
        part = slice(start, start + group)
        dot = (x[:, part].astype(np.int64) @ codes[:, part].T).astype(np.float32)
        expected = fma(dot, scales[None, :, g].astype(np.float32), expected)
    activation_group = group if grouped_activations else 0
    result = run(x, builder.finish(), isa, columns=n, quantized=True, activation_group=activation_group)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("grouped_activations", [False, True])
@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_int4(shape: tuple[int, int, int], group: int, offset: str, grouped_activations: bool, isa: str) -> None:
    rows, n, k = shape
    groups = -(-k // group)
    rng = np.random.default_rng(k)
    x = whole_activations(rng, rows, k)
    codes = rng.integers(0, 16, (n, k)).astype(np.uint8)
    scales = rng.standard_normal((n, groups)).astype(np.float16)
    zeros = np.full((n, groups), 8, dtype=np.int64)
    minimums = np.zeros((n, groups), dtype=np.float32)
    offsets: NDArray[Any] | None = None
    if offset == "zero_point":
        offsets = rng.integers(0, 16, (n, groups)).astype(np.uint8)
        zeros = offsets.astype(np.int64)
    elif offset == "minimum":
        offsets = rng.standard_normal((n, groups)).astype(np.float16)
        zeros[:] = 0
        minimums = offsets.astype(np.float32)
    builder = native.Int4Builder(n, k, group, offset, 2)
    builder.place(codes, scales, offsets, 0, 1)
    expected = np.zeros((rows, n), dtype=np.float32)
    for g, start in enumerate(range(0, k, group)):
        part = slice(start, start + group)
        whole = x[:, part].astype(np.int64)
        dot = (whole @ (codes[:, part].astype(np.int64) - zeros[:, g : g + 1]).T).astype(np.float32)
        expected = fma(dot, scales[None, :, g].astype(np.float32), expected)
        if offset == "minimum":
            sums = whole.sum(axis=1, keepdims=True).astype(np.float32)
            expected = fma(sums, minimums[None, :, g], expected)
    activation_group = group if grouped_activations else 0
    result = run(x, builder.finish(), isa, columns=n, quantized=True, activation_group=activation_group)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_parts_side_by_side_with_bias(isa: str) -> None:
    """Three parts in one matrix, none a multiple of a tile, and a bias in packed order."""
    rng = np.random.default_rng(1)
    x = whole_activations(rng, 3, 70)
    widths = (24, 8, 9)
    codes = rng.integers(-127, 128, (sum(widths), 70)).astype(np.int8)
    scales = np.ones(sum(widths), dtype=np.float32)
    builder = native.Int8Builder(sum(widths), 70, None)
    first = 0
    for width in widths:
        rows = slice(first, first + width)
        builder.place(codes[rows].copy(), scales[rows].copy(), first, 1)
        first += width
    bias = np.zeros(64, dtype=np.float32)
    bias[: sum(widths)] = rng.integers(-5, 5, sum(widths))
    result = run(x, builder.finish(), isa, columns=sum(widths), quantized=True, bias=bias)
    np.testing.assert_array_equal(result, x @ codes.T.astype(np.float32) + bias[: sum(widths)])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("width", [16, 24, 40])
@pytest.mark.parametrize("epilogue", ["gated_silu", "gated_gelu_tanh", "gated_gelu", "gated_clamped_silu"])
def test_gate_and_up_interleaved(width: int, epilogue: str, isa: str) -> None:
    rng = np.random.default_rng(width)
    x = rng.standard_normal((3, 20)).astype(np.float32)
    gate, up = (rng.standard_normal((width, 20)).astype(np.float32) for _ in range(2))
    builder = native.DenseBuilder(-(-width // 16) * 32, 20, "float32")
    builder.place(gate, "float32", 0, 2)
    builder.place(up, "float32", 16, 2)
    g, u = x.astype(np.float64) @ gate.T, x.astype(np.float64) @ up.T
    if epilogue == "gated_silu":
        expected = g / (1 + np.exp(-g)) * u
    elif epilogue == "gated_gelu":
        expected = 0.5 * g * (1 + np.vectorize(math.erf)(g / math.sqrt(2))) * u
    elif epilogue == "gated_clamped_silu":
        assert g.max() > 7 or u.max() > 7 or u.min() < -7
        low = np.minimum(g, 7)
        expected = low / (1 + np.exp(-1.702 * low)) * (np.clip(u, -7, 7) + 1)
    else:
        expected = 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3))) * u
    result = run(x, builder.finish(), isa, columns=width, quantized=False, epilogue=epilogue)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_columns_never_placed_are_zero() -> None:
    builder = native.Int4Builder(40, 32, 32, "zero_point")
    builder.place(np.full((8, 32), 15, np.uint8), np.ones((8, 1), np.float16), np.zeros((8, 1), np.uint8), 16, 1)
    result = run(np.full((2, 32), 127, np.float32), builder.finish(), "portable", columns=40, quantized=True)
    expected = np.zeros((2, 40), np.float32)
    expected[:, 16:24] = 127 * 15 * 32
    np.testing.assert_array_equal(result, expected)
