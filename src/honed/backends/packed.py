"""Packed matrices as the interpreter holds them: columns in packed order, but no tiles, and their products.

The formulas and the order of float operations are those of the matmul slots in native/cpu/kernel_table.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.float32 import Floats, fma
from honed.encodings.base import Encoded
from honed.encodings.codebook import Codebook
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_integers import to_integers, to_super_blocks
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.plan.formats import BlocksFormat, DenseFormat, Int4Format
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


def _dot(x: NDArray[np.int8], w: NDArray[np.int64]) -> Floats:
    """Exact: float64 holds every integer that int32 does, whatever the order of summing."""
    return (x.astype(np.float64) @ w.T.astype(np.float64)).astype(np.float32)


def pack(spec: MatrixWeight, source: PlanSource) -> DenseMatrix | IntegerMatrix:
    """Reads the parts of a packed matrix; columns that no part takes are zero."""
    parts = [(part.columns, source.matrix(part.name)) for part in spec.parts]
    if isinstance(spec.format, DenseFormat):
        values = np.zeros((spec.columns, spec.k), dtype=np.float32)
        for columns, encoded in parts:
            part = encoded.decode()
            rounded = spec.format.dtype == "bfloat16"
            values[columns] = bfloat16_to_float32(float32_to_bfloat16(part)) if rounded else part
        return DenseMatrix(values)
    if isinstance(spec.format, BlocksFormat):
        return _super_blocks(spec, parts)
    groups = 1 if spec.format.group is None else -(-spec.k // spec.format.group)
    codes = np.zeros((spec.columns, spec.k), dtype=np.int64)
    scales = np.zeros((spec.columns, groups), dtype=np.float32)
    integers = [(columns, to_integers(part) if isinstance(part, GgufBlocks) else part) for columns, part in parts]
    for columns, encoded in integers:
        codes[columns], scales[columns] = _integers(encoded)
    minimums = None
    if isinstance(spec.format, Int4Format) and spec.format.offset == "minimum":
        minimums = np.zeros_like(scales)
        for columns, encoded in integers:
            assert isinstance(encoded, Int4)
            assert encoded.offsets is not None
            minimums[columns] = encoded.offsets.astype(np.float32)
    return IntegerMatrix(codes, scales, minimums, spec.format.group, spec.format.activation)


def _super_blocks(spec: MatrixWeight, parts: Sequence[tuple[NDArray[np.int64], Encoded]]) -> IntegerMatrix:
    """Scales and minimums multiplied out: the products are exact in float32."""
    codes = np.zeros((spec.columns, spec.k), dtype=np.int64)
    scales, minimums = (np.zeros((spec.columns, spec.k), dtype=np.float32) for _ in range(2))
    group, has_minimums = 32, False
    for columns, encoded in parts:
        assert isinstance(encoded, GgufBlocks)
        blocks = to_super_blocks(encoded)
        group, has_minimums = blocks.group, blocks.minimums is not None
        codes[columns] = blocks.codes.astype(np.int64) - blocks.zero
        scales[columns, : spec.k // group] = blocks.scales
        if blocks.minimums is not None:
            minimums[columns, : spec.k // group] = blocks.minimums
    return IntegerMatrix(codes, scales, minimums if has_minimums else None, group, 32)


def _integers(encoded: Encoded) -> tuple[NDArray[np.int64], NDArray[Any]]:
    match encoded:
        case Int8():
            return encoded.codes.astype(np.int64), encoded.scales.astype(np.float32).reshape(len(encoded.codes), -1)
        case Int4():
            codes = encoded.codes.astype(np.int64)
            if encoded.offset == "symmetric":
                codes -= 8
            elif encoded.offset == "zero_point" and encoded.offsets is not None:
                codes -= np.repeat(encoded.offsets.astype(np.int64), encoded.group, axis=1)[:, : codes.shape[1]]
            return codes, encoded.scales.astype(np.float32)
        case Codebook():
            return encoded.values.astype(np.int64)[encoded.codes], encoded.scales.astype(np.float32)
        case _:
            raise TypeError(f"{encoded.kind} holds no integer codes")
