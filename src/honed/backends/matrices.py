"""Matrices as the interpreter holds them: columns in the order of the packed ones, but no tiles, and their products.

The formulas and the order of float operations are those of the matmul slots in native/cpu/kernel_table.h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.backends.float32 import Floats, fma
from honed.encodings.base import Encoded
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16
from honed.encodings.descriptor import Integers, Quantized
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_integers import as_run
from honed.plan.formats import DenseFormat
from honed.plan.lowered import MatrixWeight
from honed.plan.source import PlanSource


@dataclass(frozen=True)
class QuantizedRows:
    """Codes [rows, width] and scales [rows, groups]."""

    codes: NDArray[np.int8]
    scales: Floats


@dataclass(frozen=True)
class DenseMatrix:
    """Values [columns, k] as float32, rounded to bfloat16 before where they run so."""

    values: Floats

    def product(self, x: Floats) -> Floats:
        """acc = fma(x[k], w[k], acc) for k ascending: [rows, columns]."""
        result = np.zeros((x.shape[0], self.values.shape[0]), dtype=np.float32)
        for k in range(x.shape[1]):
            result = fma(x[:, k : k + 1], self.values[None, :, k], result)
        return result


@dataclass(frozen=True)
class IntegerMatrix:
    """Codes [columns, k], zero points already subtracted; scales [columns, groups], or [columns, 1] without groups.

    minimums [columns, groups] where every code stands for scale * code + minimum.
    """

    codes: NDArray[np.int64]
    scales: Floats
    minimums: Floats | None
    group: int | None
    activation: int | None  # a multiple of the group where there are both

    def product(self, x: QuantizedRows) -> Floats:
        step = self.group or self.activation
        if step is None:
            return (_dot(x.codes, self.codes) * x.scales) * self.scales[:, 0]
        result = np.zeros((x.codes.shape[0], self.codes.shape[0]), dtype=np.float32)
        for g, start in enumerate(range(0, self.codes.shape[1], step)):
            codes = x.codes[:, start : start + step]
            dot = _dot(codes, self.codes[:, start : start + step])
            place = g if self.activation is None else start // self.activation
            scale = x.scales[:, place : place + 1]
            if self.group is None:
                result = fma(dot, scale, result)
                continue
            result = fma(dot if self.activation is None else dot * scale, self.scales[None, :, g], result)
            if self.minimums is not None:
                total = codes.sum(axis=1, keepdims=True, dtype=np.int64).astype(np.float32)
                total = total if self.activation is None else total * scale
                result = fma(total, self.minimums[None, :, g], result)
        if self.group is None:
            return result * self.scales[:, 0]
        return result * x.scales if self.activation is None else result

    def rows(self, columns: NDArray[np.int32]) -> Floats:
        """Columns as rows of floats, each code times its scale: [columns, k]."""
        k = self.codes.shape[1]
        spread = np.arange(k) // (self.group or k)
        values = self.codes[columns].astype(np.float32) * self.scales[columns][:, spread]
        return values if self.minimums is None else values + self.minimums[columns][:, spread]


def _dot(x: NDArray[np.int8], w: NDArray[np.int64]) -> Floats:
    """Exact: float64 holds every integer that int32 does, whatever the order of summing."""
    return (x.astype(np.float64) @ w.T.astype(np.float64)).astype(np.float32)


def read_matrix(spec: MatrixWeight, source: PlanSource) -> DenseMatrix | IntegerMatrix:
    """The matrix of the parts; columns that no part takes are zero."""
    parts = [(part.columns, source.matrix(part.name)) for part in spec.parts]
    if isinstance(spec.format, DenseFormat):
        values = np.zeros((spec.columns, spec.k), dtype=np.float32)
        for columns, encoded in parts:
            part = encoded.decode()
            rounded = spec.format.dtype == "bfloat16"
            values[columns] = bfloat16_to_float32(float32_to_bfloat16(part)) if rounded else part
        return DenseMatrix(values)
    integers = [(columns, _integers(encoded)) for columns, encoded in parts]
    group = integers[0][1].group
    groups = 1 if group is None else -(-spec.k // group)
    codes = np.zeros((spec.columns, spec.k), dtype=np.int64)
    scales = np.zeros((spec.columns, groups), dtype=np.float32)
    minimums = None if integers[0][1].minimums is None else np.zeros_like(scales)
    for columns, of_part in integers:
        codes[columns], scales[columns] = of_part.codes, of_part.scales
        if minimums is not None and of_part.minimums is not None:
            minimums[columns] = of_part.minimums
    return IntegerMatrix(codes, scales, minimums, group, spec.format.activation_group)


def _integers(encoded: Encoded) -> Integers:
    if isinstance(encoded, GgufBlocks):
        return as_run(encoded).integers()
    if isinstance(encoded, Quantized):
        return encoded.integers()
    raise TypeError(f"{encoded.kind} holds no integer codes")
