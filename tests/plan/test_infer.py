"""Operands that do not fit are refused with both sides named; those that do give the right value."""

from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.ops.table import Rotary, Weight
from honed.plan import graph as g
from honed.plan.graph import Operation, Value
from honed.plan.infer import infer

ROW = Value("tokens", 12)
CODES = Value("tokens", 12, quantized=True, group=32)
PICKED = Value("selected", 12)
ROTARY = Rotary((1.0, 0.5))


def w(*shape: int) -> Weight:
    return Weight("w", shape)


def part(out: int, bias: Weight | None = None) -> g.Part:
    return g.Part(w(out, 12), bias)


def packed(heads: int, kv_heads: int, q_norm: Weight | None = None, window: int | None = None) -> g.PackedAttention:
    return g.PackedAttention((0,), ROTARY, q_norm, None, 1e-6, 0, heads, kv_heads, 4, 1.0, window)


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (g.Embedding((), w(9, 12)), [], ROW),
        (g.Linear((0,), w(5, 12), w(5)), [PICKED], Value("selected", 5)),
        (g.RmsNorm((0,), w(4), 1e-6), [ROW], ROW),
        (g.Rope((0,), ROTARY, 4), [ROW], ROW),
        (g.Attention((0, 1, 2), 0, 4, 1.0, None), [ROW, Value("tokens", 4), Value("tokens", 4)], ROW),
        (g.Gated((0, 1), "silu"), [ROW, ROW], ROW),
        (g.Select((0,)), [ROW], PICKED),
        (g.Concat((0, 1)), [ROW, Value("tokens", 3)], Value("tokens", 15)),
        (g.Quantize((0,), 32), [ROW], CODES),
        (g.NormQuantize((0,), w(12), 1e-6, 32), [ROW], CODES),
        (g.Matmul((0,), (part(3), part(4)), "store"), [CODES], Value("tokens", 7)),
        (g.Matmul((0,), (part(6), part(6)), "gated_silu"), [CODES], Value("tokens", 6)),
        (g.Matmul((0, 1), (part(12),), "add"), [CODES, ROW], ROW),
        (packed(1, 1), [ROW], Value("tokens", 4)),
        (g.PackedGated((0,), "silu"), [ROW], Value("tokens", 6)),
    ],
)
def test_values(operation: Operation, inputs: list[Value], expected: Value) -> None:
    assert infer(operation, inputs) == expected


@pytest.mark.parametrize(
    ("operation", "inputs", "problem"),
    [
        (g.Embedding((), w(9)), [], "must be a matrix"),
        (g.Linear((0,), w(5, 11), None), [ROW], "takes 11 features, and the row has 12"),
        (g.Linear((0,), w(5, 12), w(4)), [ROW], "4 values for 5 outputs"),
        (g.Linear((0,), w(5, 12), None), [CODES], "its operand is quantized"),
        (g.RmsNorm((0,), w(5), 1e-6), [ROW], "5 values for rows of 12"),
        (g.NormQuantize((0,), w(4), 1e-6, None), [ROW], "4 values for rows of 12"),
        (g.Rope((0,), ROTARY, 5), [ROW], "head_dim 5"),
        (g.Rope((0,), ROTARY, 2), [ROW], "head_dim 2"),
        (g.Rope((0,), ROTARY, 4), [PICKED], "selected rows only"),
        (g.Attention((0, 1, 2), 0, 4, 1.0, None), [ROW, ROW, Value("tokens", 4)], "k like v"),
        (g.Attention((0, 1, 2), 0, 4, 1.0, None), [ROW, *[Value("tokens", 8)] * 2], "not a multiple of 2 KV heads"),
        (g.Attention((0, 1, 2), 0, 4, 1.0, 0), [ROW, ROW, ROW], "window 0"),
        (g.Gated((0, 1), "silu"), [ROW, PICKED], "operands differ"),
        (g.Add((0, 1)), [ROW], "takes 2 operands, not 1"),
        (g.Select((0,)), [PICKED], "selected rows only"),
        (g.Concat((0, 1)), [ROW, PICKED], "same rows"),
        (g.Concat(()), [], "same rows"),
        (g.Matmul((0,), (part(3), part(4)), "gated_silu"), [ROW], "two parts of one width"),
        (g.Matmul((0, 1), (part(11),), "add"), [ROW, ROW], "the residual is"),
        (packed(2, 1), [ROW], "do not fill a row of 12"),
        (packed(1, 1, q_norm=w(3)), [ROW], "3 values for heads of 4"),
        (g.PackedGated((0,), "silu"), [Value("tokens", 7)], "7 is odd"),
        (Operation(()), [], "is not an operation"),
    ],
)
def test_refusals(operation: Operation, inputs: list[Value], problem: str) -> None:
    with pytest.raises(PlanError, match=f"^{operation.name}: .*{problem}"):
        infer(operation, inputs)
