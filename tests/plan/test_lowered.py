"""Lowered ops: their fields are those that the native side reads, and what they read and write."""

from __future__ import annotations

from typing import get_args

import pytest

from honed.native import extension
from honed.plan import lowered as low
from honed.plan import lowered_ops as ops

OPS: tuple[ops.PlanOp, ...] = (
    ops.EmbedOp(1, table=2, width=3),
    ops.EmbedPackedOp(1, matrix=2, factors=3, width=4),
    ops.FloatRowsOp(1, rows=2, width=3),
    ops.RmsNormOp(1, 2, weight=3, width=4, eps=0.5),
    ops.LayerNormOp(1, 2, weight=3, bias=4, width=4, eps=0.5),
    ops.QuantizeOp(1, 2, width=3, activation_group=32),
    ops.RmsNormQuantizeOp(1, 2, weight=3, width=4, activation_group=0, eps=0.5),
    ops.MatmulOp(1, 2, 3, None, k=4, columns=5, epilogue="gated_silu", activation_group=64, output_column=7),
    ops.RopeKvOp(1, 2, 3, None, cache=4, heads=6, kv_heads=3, head_dim=8, rotary_dim=6, eps=0.5, attention_factor=1.5),
    ops.AttentionOp(1, 2, cache=3, heads=6, kv_heads=2, head_dim=8, scale=0.25, before=None),
    ops.GatedOp(1, 2, width=3, activation="gelu_tanh"),
    ops.ActivateOp(1, 2, width=3, activation="gelu"),
    ops.AddOp(1, 2, width=3),
    ops.ScaleOp(1, 2, width=3, factor=0.25),
    ops.SelectOp(1, 2, width=3),
    ops.PoolOp(1, 2, width=3, kind="mean"),
    ops.CopyOp(1, 2, width=3, output_column=4),
    ops.RouteOp(1, 2, experts=8, chosen=2, scoring="softmax"),
    ops.DispatchOp(1, 2, 3, width=4, chosen=2, kind="quantized", activation_group=32),
    ops.ExpertMatmulOp(1, 2, 3, (4, 5), (6, 7), 8, 9, chosen=2, epilogue="store", activation_group=0, output_column=0),
    ops.CombineOp(1, 2, 3, width=4, chosen=2, epilogue="add"),
)


def test_every_native_op_has_a_class() -> None:
    assert sorted(op.name for op in OPS) == sorted(extension.OPS)
    assert {type(op) for op in OPS} == set(get_args(ops.PlanOp))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_fields_are_those_that_the_native_side_reads(op: ops.PlanOp) -> None:
    named = {field for field in (*op.slot_fields, *op.weight_fields) if getattr(op, field) is not None}
    assert named <= set(op.fields())
    with pytest.raises(ValueError, match="plan: slots = 0"):  # and no word of the op
        extension.Plan([(op.name, op.fields())], [], [], [], [], [])


def test_weights_of_an_op() -> None:
    assert [list(low.weights(op)) for op in OPS if op.weight_fields] == [
        [2],
        [2, 3],
        [3],
        [3, 4],
        [3],
        [3],
        [2, 3],
        [],
        [4, 5, 6, 7],
    ]


def test_what_an_op_reads_and_writes() -> None:
    slots = (low.PlanSlot("tokens", 9, False, 0, 0),)
    add = ops.MatmulOp(1, 0, 3, None, k=4, columns=5, epilogue="add", activation_group=0, output_column=2)
    assert list(low.reads(add)) == [1, 0]
    assert low.written_columns(add, slots) == (2, 7)
    assert list(low.reads(ops.EmbedOp(0, 0, 9))) == []
    assert low.written_columns(ops.EmbedOp(0, 0, 9), slots) == (0, 9)
    assert list(low.reads(ops.AddOp(2, 0, 9))) == [2, 0]
    assert list(low.reads(ops.EmbedOp(0, 0, 9, epilogue="add"))) == [0]
    assert list(low.reads(ops.CombineOp(1, 2, 0, width=9, chosen=2, epilogue="add"))) == [1, 2, 0]
    assert list(low.reads(ops.RouteOp(1, 0, experts=8, chosen=2, scoring="sigmoid"))) == [1]
    assert list(low.reads(ops.FloatRowsOp(0, 0, 9))) == []
    assert low.written_columns(ops.CopyOp(1, 0, width=4, output_column=3), slots) == (3, 7)
