"""Operands that do not fit are refused with both sides named; those that do give the right value."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import PlanError
from honed.ops.operation import Operation
from honed.ops.table import (
    Activate,
    Add,
    Attention,
    Embedding,
    FloatRows,
    Gated,
    LayerNorm,
    Linear,
    Pool,
    RmsNorm,
    Rope,
    Scale,
    Select,
)
from honed.ops.values import AttentionSpec, DistanceBias, Rotary, Value, Weight

ROW = Value("tokens", 12)
CODES = Value("tokens", 12, quantized=True, group=32)
PICKED = Value("selected", 12)
ROTARY = Rotary((1.0, 0.5))


def attention(cache: int | None = None, **spec: Any) -> Attention:
    return Attention((0, 1, 2), AttentionSpec(4, 1.0, **spec), cache)


def w(*shape: int) -> Weight:
    return Weight("w", shape)


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (Embedding((), w(9, 12)), [], ROW),
        (Linear((0,), w(5, 12), w(5)), [PICKED], Value("selected", 5)),
        (RmsNorm((0,), w(4), 1e-6), [ROW], ROW),
        (Rope((0,), ROTARY, 4), [ROW], ROW),
        (attention(), [ROW, Value("tokens", 4), Value("tokens", 4)], ROW),
        (Gated((0, 1), "silu"), [ROW, ROW], ROW),
        (attention(0, sinks=w(3)), [ROW, ROW, ROW], ROW),
        (attention(after=None, bias=DistanceBias(w(3 * 5), 2)), [ROW, ROW, ROW], ROW),
        (Embedding((), w(9, 12), "positions", first_row=8), [], ROW),
        (FloatRows((), "patches", 12), [], ROW),
        (LayerNorm((0,), w(12), None, 1e-6), [PICKED], PICKED),
        (Activate((0,), "tanh"), [PICKED], PICKED),
        (Scale((0,), -0.5), [PICKED], PICKED),
        (Select((0,)), [ROW], PICKED),
        (Pool((0,), "mean"), [ROW], Value("sequences", 12)),
    ],
)
def test_values(operation: Operation, inputs: list[Value], expected: Value) -> None:
    assert operation.infer(inputs) == expected


@pytest.mark.parametrize(
    ("operation", "inputs", "problem"),
    [
        (Embedding((), w(9)), [], "must be a matrix"),
        (Linear((0,), w(5, 11), None), [ROW], "takes 11 features, and the row has 12"),
        (Linear((0,), w(5, 12), w(4)), [ROW], "4 values for 5 outputs"),
        (Linear((0,), w(5, 12), None), [CODES], "its operand is quantized"),
        (RmsNorm((0,), w(5), 1e-6), [ROW], "5 values for rows of 12"),
        (Rope((0,), ROTARY, 5), [ROW], "head_dim 5"),
        (Rope((0,), ROTARY, 2), [ROW], "head_dim 2"),
        (Rope((0,), ROTARY, 4), [PICKED], "rows of selected"),
        (attention(), [ROW, ROW, Value("tokens", 4)], "k like v"),
        (attention(), [ROW, *[Value("tokens", 8)] * 2], "not a multiple of 2 KV heads"),
        (attention(before=-1), [ROW, ROW, ROW], "before -1"),
        (attention(after=-2), [ROW, ROW, ROW], "after -2"),
        (attention(0, after=None), [ROW, ROW, ROW], "not in its cache yet"),
        (attention(soft_cap=0.0), [ROW, ROW, ROW], "soft_cap 0.0"),
        (attention(sinks=w(2)), [ROW, ROW, ROW], "2 values for 3 heads"),
        (attention(bias=DistanceBias(w(9), 2)), [ROW, ROW, ROW], "9 values for 3 heads and a reach of 2"),
        (Embedding((), w(9, 12), "positions", first_row=9), [], "first_row 9 is outside the 9 rows"),
        (FloatRows((), "patches", 0), [], "width 0"),
        (LayerNorm((0,), w(4), None, 1e-6), [ROW], "4 values for rows of 12"),
        (LayerNorm((0,), w(12), w(6), 1e-6), [ROW], "6 values for rows of 12"),
        (Activate((0,), "gelu"), [CODES], "its operand is quantized"),
        (Scale((0,), 2.0), [CODES], "its operand is quantized"),
        (Scale((0,), float("inf")), [ROW], "factor inf must be finite"),
        (Pool((0,), "last"), [PICKED], "rows of selected"),
        (Gated((0, 1), "silu"), [ROW, PICKED], "operands differ"),
        (Add((0, 1)), [ROW], "takes 2 operands, not 1"),
        (Select((0,)), [PICKED], "rows of selected"),
        (Operation(()), [], "has no rule for its shape"),
    ],
)
def test_refusals(operation: Operation, inputs: list[Value], problem: str) -> None:
    with pytest.raises(PlanError, match=f"^{operation.name}: .*{problem}"):
        operation.infer(inputs)
