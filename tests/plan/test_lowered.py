"""The native record of each op, field by field as native/plan/op.h says."""

from __future__ import annotations

import pytest

from honed.plan import lowered as low
from honed.plan.lowered import Record


@pytest.mark.parametrize(
    ("op", "record"),
    [
        (low.EmbedOp(1, table=2, width=3), Record("embed", 0, 1, (2,), (3,))),
        (low.RmsNormOp(1, 2, weight=3, width=4, eps=0.5), Record("rms_norm", 1, 2, (3,), (4,), (0.5,))),
        (low.QuantizeOp(1, 2, width=3, activation_group=32), Record("quantize", 1, 2, (), (3, 32))),
        (
            low.RmsNormQuantizeOp(1, 2, weight=3, width=4, activation_group=0, eps=0.5),
            Record("rms_norm_quantize", 1, 2, (3,), (4, 0), (0.5,)),
        ),
        (
            low.MatmulOp(1, 2, 3, None, k=4, columns=5, epilogue="gated_silu", activation_group=64, output_column=7),
            Record("matmul", 1, 2, (3, -1), (4, 5, 2, 64, 7)),
        ),
        (
            low.RopeKvOp(1, 2, 3, None, layer=4, heads=6, kv_heads=3, head_dim=8, rotary_dim=6, eps=0.5,
                         attention_factor=1.5),
            Record("rope_kv", 1, 1, (2, 3, -1), (6, 3, 8, 6, 4), (0.5, 1.5)),
        ),
        (
            low.AttentionOp(1, 2, layer=3, heads=6, kv_heads=2, head_dim=8, window=None, scale=0.25),
            Record("attention", 1, 2, (), (6, 2, 8, 3, 0), (0.25,)),
        ),
        (low.GatedOp(1, 2, width=3, activation="gelu_tanh"), Record("gated", 1, 2, (), (3, 1))),
        (low.AddOp(1, 2, width=3), Record("add", 1, 2, (), (3,))),
        (low.SelectOp(1, 2, width=3), Record("select", 1, 2, (), (3,))),
    ],
)  # fmt: skip
def test_record(op: low.PlanOp, record: Record) -> None:
    assert op.record() == record


def test_what_an_op_reads_and_writes() -> None:
    slots = (low.PlanSlot("tokens", 9, False, 0, 0),)
    add = low.MatmulOp(1, 0, 3, None, k=4, columns=5, epilogue="add", activation_group=0, output_column=2)
    assert list(low.reads(add)) == [1, 0]
    assert low.written_columns(add, slots) == (2, 7)
    assert list(low.reads(low.EmbedOp(0, 0, 9))) == []
    assert low.written_columns(low.EmbedOp(0, 0, 9), slots) == (0, 9)
    assert list(low.reads(low.AddOp(2, 0, 9))) == [2, 0]
