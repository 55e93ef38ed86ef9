"""The float formulas of native/cpu/kernel_table.h in numpy, in their order of operations.

A fused multiply-add is a float64 product (exact) and sum, rounded to float32: the same bits but for a double rounding
that one operation in some 2^29 shows. Used by the interpreter; nothing here is fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.ops.values import GATE_LIMIT, GATE_SLOPE, Activation, GatedActivation, Scoring

Floats = NDArray[np.float32]
LANES = 16


def fma(a: Floats | np.float32, b: Floats | np.float32, c: Floats | np.float32) -> Floats:
    """a * b + c, rounded once, with numpy's broadcasting."""
    result: Floats = (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
    return result


def fold_lanes(lanes: Floats) -> Floats:
    """Sum over the last axis of 16: halves added, 16 to 8 to 4 to 2 to 1."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def _in_lanes(x: Floats, *, squared: bool) -> Floats:
    """Features, or their squares, of the last axis summed into 16 lanes in the order that they stand in."""
    lanes = np.zeros((*x.shape[:-1], LANES), dtype=np.float32)
    for start in range(0, x.shape[-1], LANES):
        part = x[..., start : start + LANES]
        count = part.shape[-1]
        lanes[..., :count] = fma(part, part if squared else np.float32(1), lanes[..., :count])
    return lanes


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Over the last axis."""
    mean = fold_lanes(_in_lanes(x, squared=True)) / np.float32(x.shape[-1])
    inverse = np.float32(1) / np.sqrt(mean + np.float32(eps))
    result: Floats = (x * inverse[..., None]) * weight
    return result


def layer_norm(x: Floats, weight: Floats, bias: Floats | None, eps: float) -> Floats:
    """Over the last axis: the mean, then the mean square of what is left."""
    width = np.float32(x.shape[-1])
    mean = fold_lanes(_in_lanes(x, squared=False)) / width
    centered: Floats = x - mean[..., None]
    variance = fold_lanes(_in_lanes(centered, squared=True)) / width
    inverse = np.float32(1) / np.sqrt(variance + np.float32(eps))
    scaled = centered * inverse[..., None]
    result: Floats = scaled * weight if bias is None else fma(scaled, weight, bias)
    return result


def exp(x: Floats) -> Floats:
    """Moshier's expf (Cephes) as the kernels have it."""
    x = np.clip(x, np.float32(-87.33654), np.float32(88.0))
    n = np.rint(x * np.float32(1.44269504))
    r = fma(n, np.float32(-0.693359375), x)
    r = fma(n, np.float32(2.12194440e-4), r)
    p = np.full_like(r, 1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = fma(p, r, np.float32(coefficient))
    p = fma(p, r * r, r) + np.float32(1)
    result: Floats = np.ldexp(p, n.astype(np.int32))
    return result


_ERF_TOP = tuple(
    np.float32(c)
    for c in (
        -2.72614225801306e-10,
        2.77068142495902e-08,
        -2.10102402082508e-06,
        -5.69250639462346e-05,
        -7.34990630326855e-04,
        -2.95459980854025e-03,
        -1.60960333262415e-02,
    )
)
_ERF_BOTTOM = tuple(
    np.float32(c)
    for c in (
        -1.45660718464996e-05,
        -2.13374055278905e-04,
        -1.68282697438203e-03,
        -7.37332916720468e-03,
        -1.42647390514189e-02,
    )
)
_TANH_TOP = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
_TANH_BOTTOM = tuple(
    np.float32(c) for c in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
)


def _polynomial(x: Floats, coefficients: tuple[np.float32, ...]) -> Floats:
    """Horner, the highest power first."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = fma(result, x, coefficient)
    return result


def _rational(x: Floats, most: float, top: tuple[np.float32, ...], bottom: tuple[np.float32, ...]) -> Floats:
    """x * top(x^2) / bottom(x^2), x clamped to [-most, most]."""
    x = np.clip(x, np.float32(-most), np.float32(most))
    square = x * x
    result: Floats = (x * _polynomial(square, top)) / _polynomial(square, bottom)
    return result


def erf(x: Floats) -> Floats:
    """Within 4e-7: the rational function that Eigen and XLA have."""
    return _rational(x, 4.0, _ERF_TOP, _ERF_BOTTOM)


def tanh(x: Floats) -> Floats:
    """Within 3e-7: the rational function that Eigen and XLA have."""
    return _rational(x, 7.90531110763549805, _TANH_TOP, _TANH_BOTTOM)


def gated(gate: Floats, up: Floats, activation: GatedActivation) -> Floats:
    """activation(gate) * up, or as `GatedActivation` says."""
    if activation == "clamped_silu":
        limit, one = np.float32(GATE_LIMIT), np.float32(1)
        gate, up = np.minimum(gate, limit), np.minimum(np.maximum(up, -limit), limit)
        result: Floats = (gate / (one + exp(np.float32(-GATE_SLOPE) * gate))) * (up + one)
        return result
    return activate(gate, activation) * up


def activate(x: Floats, activation: Activation) -> Floats:
    """silu(x), gelu(x) and so on."""
    match activation:
        case "relu":
            return np.where(x > 0, x, np.float32(0))
        case "tanh":
            return tanh(x)
        case "gelu":
            half = np.float32(0.5) * x
            return fma(half, erf(x * np.float32(0.70710678)), half)
        case "silu":
            exponent = -x
        case "gelu_tanh":
            cubed = fma(np.float32(0.044715) * x * x, x, x)
            exponent = np.float32(-2) * (np.float32(0.7978845608) * cubed)
    result: Floats = x / (np.float32(1) + exp(exponent))
    return result


def route(scores: Floats, chosen: int, scoring: Scoring) -> tuple[Floats, Floats]:
    """The numbers of the experts that each row goes to, ascending, and what each counts: [rows, chosen] both."""
    numbers = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :chosen], axis=1)
    found: Floats = np.take_along_axis(scores, numbers, axis=1)
    if scoring == "sigmoid":
        return numbers.astype(np.float32), np.float32(1) / (np.float32(1) + exp(-found))
    most = scores.max(axis=1, keepdims=True)
    terms = exp(found - most)
    total = np.zeros_like(most)
    for term in (exp(scores - most) if scoring == "softmax" else terms).T:
        total = total + term[:, None]
    return numbers.astype(np.float32), terms / total


def quantize(x: Floats, group: int | None) -> tuple[NDArray[np.int8], Floats]:
    """Codes [rows, width] and scales [rows, groups] (one group if None); the last group may be short."""
    rows, width = x.shape
    group = group or width
    groups = -(-width // group)
    padded = np.zeros((rows, groups * group), dtype=np.float32)
    padded[:, :width] = x
    codes, scales = quantize_within(padded.reshape(rows, groups, group), 127)
    return np.ascontiguousarray(codes.reshape(rows, -1)[:, :width].astype(np.int8)), scales


def quantize_within(blocks: Floats, most: int) -> tuple[NDArray[np.int64], Floats]:
    """blocks [rows, groups, n]: codes within [-most, most] of the same shape, and scales [rows, groups]."""
    largest = np.abs(blocks).max(axis=-1)
    scales: Floats = largest / np.float32(most)
    inverse = np.divide(np.float32(most), largest, out=np.zeros_like(largest), where=largest > 0)
    return np.clip(np.rint(blocks * inverse[..., None]), -most, most).astype(np.int64), scales
