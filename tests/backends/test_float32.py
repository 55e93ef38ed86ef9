"""The float formulas against float64."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.backends.float32 import (
    activate,
    erf,
    exp,
    fma,
    fold_lanes,
    gated,
    layer_norm,
    quantize,
    rms_norm,
    tanh,
)

RANDOM = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def test_fma_rounds_once() -> None:
    a = np.float32(1 + 2**-12)
    c = np.float32(-1)
    assert fma(a, a, c) == np.float32(2.0**-11 + 2.0**-24)
    assert a * a + c != fma(a, a, c)


def test_exp_is_within_two_units_of_the_last_place() -> None:
    x = np.linspace(-87, 87, 40001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(exp(x) - exact) / exact).max() < 2 * 2.0**-23
    assert exp(np.array([-1e30, 1e30], np.float32)).tolist() == exp(np.array([-87.33654, 88.0], np.float32)).tolist()
    assert exp(np.zeros(1, np.float32)) == 1


def test_lanes_fold_in_halves() -> None:
    lanes = np.array([1e8, 1, *[0] * 6, -1e8, 0, *[0] * 6], dtype=np.float32)
    assert fold_lanes(lanes) == 1  # the large ones meet first and cancel


def test_rms_norm_of_a_width_that_is_no_multiple_of_the_lanes() -> None:
    x, weight = normal(3, 37), normal(37)
    exact = x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(rms_norm(x, weight, 1e-5), exact, rtol=1e-6)


def test_activations() -> None:
    gate, up = normal(200) * 5, normal(200)
    g = gate.astype(np.float64)
    np.testing.assert_allclose(gated(gate, up, "silu"), g / (1 + np.exp(-g)) * up, rtol=2e-6, atol=1e-7)
    gelu = 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3)))
    np.testing.assert_allclose(gated(gate, up, "gelu_tanh"), gelu * up, rtol=1e-5, atol=1e-6)
    assert activate(gate, "relu").tolist() == [max(x, 0.0) for x in gate.tolist()]
    exact = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in g])
    np.testing.assert_allclose(activate(gate, "gelu"), exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gated(gate, up, "gelu"), exact * up, rtol=1e-6, atol=3e-6)


def test_the_clamped_gate() -> None:
    gate, up = normal(400) * 5, normal(400) * 5
    g, u = np.minimum(gate.astype(np.float64), 7), np.clip(up.astype(np.float64), -7, 7)
    assert (g == 7).any() and (u == 7).any() and (u == -7).any()
    np.testing.assert_allclose(gated(gate, up, "clamped_silu"), g / (1 + np.exp(-1.702 * g)) * (u + 1), rtol=1e-5)


def test_erf_and_tanh() -> None:
    x = np.linspace(-12, 12, 40001, dtype=np.float32)
    for function, exact in ((erf, np.array([math.erf(v) for v in x])), (tanh, np.tanh(x.astype(np.float64)))):
        np.testing.assert_allclose(function(x), exact, rtol=4e-7, atol=1e-20)
        assert function(np.array([-1e30, 1e30], np.float32)).tolist() == function(x[[0, -1]]).tolist()


def test_layer_norm_of_a_width_that_is_no_multiple_of_the_lanes() -> None:
    x, weight, bias = normal(3, 37) + 5, normal(37), normal(37)
    exact = (x - x.mean(-1, keepdims=True, dtype=np.float64)) / np.sqrt(
        x.var(-1, keepdims=True, dtype=np.float64) + 1e-5
    )
    np.testing.assert_allclose(layer_norm(x, weight, None, 1e-5), exact * weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer_norm(x, weight, bias, 1e-5), exact * weight + bias, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    width=st.integers(1, 100),
    group=st.sampled_from([None, 32, 64, 128]),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e30]),
    seed=st.integers(0, 1000),
)
def test_codes_are_the_nearest_within_half_a_scale(width: int, group: int | None, scale: float, seed: int) -> None:
    x = (np.random.default_rng(seed).standard_normal((2, width)) * scale).astype(np.float32)
    codes, scales = quantize(x, group)
    run = group or width
    assert codes.shape == x.shape
    assert scales.shape == (2, -(-width // run))
    spread = np.repeat(scales.astype(np.float64), run, axis=1)[:, :width]
    assert (np.abs(codes * spread - x) <= spread * 0.50001).all()
    assert np.abs(codes.astype(int)).max(initial=0) <= 127
