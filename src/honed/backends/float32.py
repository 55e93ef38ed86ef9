"""The float formulas of native/cpu/kernel_table.h in numpy, in their order of operations.

A fused multiply-add is a float64 product (exact) and sum, rounded to float32: the same bits but for a double rounding
that one operation in some 2^29 shows. Used by the interpreter; nothing here is fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.ops.table import Activation

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


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Over the last axis."""
    width = x.shape[-1]
    lanes = np.zeros((*x.shape[:-1], LANES), dtype=np.float32)
    for start in range(0, width, LANES):
        part = x[..., start : start + LANES]
        count = part.shape[-1]
        lanes[..., :count] = fma(part, part, lanes[..., :count])
    mean = fold_lanes(lanes) / np.float32(width)
    inverse = np.float32(1) / np.sqrt(mean + np.float32(eps))
    result: Floats = (x * inverse[..., None]) * weight
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


def activate(gate: Floats, up: Floats, activation: Activation) -> Floats:
    """silu(gate) * up or gelu_tanh(gate) * up."""
    if activation == "silu":
        exponent = -gate
    else:
        cubed = fma(np.float32(0.044715) * gate * gate, gate, gate)
        exponent = np.float32(-2) * (np.float32(0.7978845608) * cubed)
    result: Floats = (gate / (np.float32(1) + exp(exponent))) * up
    return result


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
