"""Operands that do not fit are refused with both sides named; those that do give the right value."""

from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.ops.operation import Operation
from honed.ops.table import Embedding
from honed.ops.values import AttentionSpec, Rotary, Value, Weight
from honed.plan.operations import (
    AddedEmbedding,
    Concat,
    Copy,
    Matmul,
    NormQuantize,
    PackedAttention,
    PackedGated,
    Part,
    Quantize,
)

ROW = Value("tokens", 12)
CODES = Value("tokens", 12, quantized=True, group=32)
PICKED = Value("selected", 12)
ROTARY = Rotary((1.0, 0.5))


def w(*shape: int) -> Weight:
    return Weight("w", shape)


def part(out: int, bias: Weight | None = None) -> Part:
    return Part(w(out, 12), bias)


def packed(heads: int, kv_heads: int, q_norm: Weight | None = None, rotary: Rotary | None = ROTARY) -> PackedAttention:
    return PackedAttention((0,), rotary, q_norm, None, 1e-6, AttentionSpec(4, 1.0), 0, heads, kv_heads)


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (Concat((0, 1)), [ROW, Value("tokens", 3)], Value("tokens", 15)),
        (Quantize((0,), 32), [ROW], CODES),
        (NormQuantize((0,), w(12), 1e-6, 32), [ROW], CODES),
        (Matmul((0,), (part(3), part(4)), "store"), [CODES], Value("tokens", 7)),
        (Matmul((0,), (part(6), part(6)), "gated_silu"), [CODES], Value("tokens", 6)),
        (Matmul((0, 1), (part(12),), "add"), [CODES, ROW], ROW),
        (packed(1, 1), [ROW], Value("tokens", 4)),
        (packed(1, 1, rotary=None), [ROW], Value("tokens", 4)),
        (Copy((0,)), [PICKED], PICKED),
        (AddedEmbedding((0,), Embedding((), w(9, 12))), [ROW], ROW),
        (PackedGated((0,), "silu"), [ROW], Value("tokens", 6)),
    ],
)
def test_values(operation: Operation, inputs: list[Value], expected: Value) -> None:
    assert operation.infer(inputs) == expected


@pytest.mark.parametrize(
    ("operation", "inputs", "problem"),
    [
        (NormQuantize((0,), w(4), 1e-6, None), [ROW], "4 values for rows of 12"),
        (Concat((0, 1)), [ROW, PICKED], "same rows"),
        (Concat(()), [], "same rows"),
        (Matmul((0,), (part(3), part(4)), "gated_silu"), [ROW], "two parts of one width"),
        (Matmul((0, 1), (part(11),), "add"), [ROW, ROW], "the residual is"),
        (packed(2, 1), [ROW], "do not fill a row of 12"),
        (Copy((0,)), [CODES], "is quantized"),
        (AddedEmbedding((0,), Embedding((), w(9, 12))), [PICKED], "operands differ"),
        (packed(1, 1, q_norm=w(3)), [ROW], "3 values for heads of 4"),
        (PackedGated((0,), "silu"), [Value("tokens", 7)], "7 is odd"),
    ],
)
def test_refusals(operation: Operation, inputs: list[Value], problem: str) -> None:
    with pytest.raises(PlanError, match=f"^{operation.name}: .*{problem}"):
        operation.infer(inputs)
