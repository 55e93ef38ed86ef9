"""Plan validation: a sound plan, every way to spoil it, and random plans that either run or are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import executor, native, run_all_rows

WIDTH, HEADS, HEAD_DIM, VOCABULARY = 16, 2, 8, 40
QKV = (HEADS + 2) * HEAD_DIM


@dataclass(frozen=True)
class Record:
    code: str
    input: int
    output: int
    weights: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    scalars: tuple[float, ...] = ()


@dataclass(frozen=True)
class Slot:
    kind: str
    rows: str
    width: int
    activation_group: int
    stretch: int


def int8(n: int, k: int) -> Any:
    builder = native.Int8Builder(n, k, None)
    builder.place(np.ones((n, k), np.int8), np.full(n, 0.01, np.float32), 0, 1)
    return builder.finish()


def dense(n: int, k: int) -> Any:
    builder = native.DenseBuilder(n, k, "float32")
    builder.place(np.full((n, k), 0.1, np.float32), "float32", 0, 1)
    return builder.finish()


# Numbers: 0 table, 1 norm, 2 int8 qkv, 3 dense output, 4 int8 gate and up, 5 dense down, 6 inv_freq, 7 head norm,
# 8 dense logits, 9 bias of the logits, 10 int4 in groups of 32.
WEIGHTS = [
    native.table(np.ones((VOCABULARY, WIDTH), np.float32), "float32"),
    native.vector(np.ones(WIDTH, np.float32)),
    int8(QKV, WIDTH),
    dense(WIDTH, HEADS * HEAD_DIM),
    int8(64, WIDTH),
    dense(WIDTH, 32),
    native.vector(np.ones(HEAD_DIM // 2, np.float32)),
    native.vector(np.ones(HEAD_DIM, np.float32)),
    dense(VOCABULARY, WIDTH),
    native.vector(np.ones(64, np.float32)),
    native.Int4Builder(QKV, WIDTH, 32, "symmetric").finish(),
]
# 0 residual, 1 quantized, 2 qkv, 3 attention, 4 gated, 5 selected, 6 normalized, 7 logits, 8 a sharer of stretch 0
SLOTS = (
    Slot("f32", "tokens", WIDTH, 0, 0),
    Slot("quantized", "tokens", WIDTH, 0, 1),
    Slot("f32", "tokens", QKV, 0, 2),
    Slot("f32", "tokens", HEADS * HEAD_DIM, 0, 3),
    Slot("f32", "tokens", 32, 0, 2),
    Slot("f32", "selected", WIDTH, 0, 4),
    Slot("f32", "selected", WIDTH, 0, 5),
    Slot("f32", "selected", VOCABULARY, 0, 6),
    Slot("f32", "tokens", QKV, 0, 0),
)
OPS = (
    Record("embed", 0, 0, (0,), (WIDTH,)),
    Record("rms_norm_quantize", 0, 1, (1,), (WIDTH, 0), (1e-5,)),
    Record("matmul", 1, 2, (2,), (WIDTH, QKV, 0, 0, 0)),
    Record("rope_kv", 2, 2, (6, 7, -1), (HEADS, 1, HEAD_DIM, HEAD_DIM, 0), (1e-5, 1.0)),
    Record("attention", 2, 3, (), (HEADS, 1, HEAD_DIM, 0, 0), (0.35,)),
    Record("matmul", 3, 0, (3,), (HEADS * HEAD_DIM, WIDTH, 1, 0, 0)),
    Record("quantize", 0, 1, (), (WIDTH, 0)),
    Record("matmul", 1, 4, (4,), (WIDTH, 32, 2, 0, 0)),
    Record("matmul", 4, 0, (5,), (32, WIDTH, 1, 0, 0)),
    Record("select", 0, 5, (), (WIDTH,)),
    Record("rms_norm", 5, 6, (1,), (WIDTH,), (1e-5,)),
    Record("matmul", 6, 7, (8, 9), (WIDTH, VOCABULARY, 0, 0, 0)),
)
EMBED, NORM_QUANTIZE, QKV_MATMUL, ROPE, ATTENTION, OUTPUT, QUANTIZE, GATED, DOWN, SELECT, NORM, LOGITS = range(12)
SHAPE: dict[str, int] = {
    "layers": 1,
    "kv_heads": 1,
    "head_dim": HEAD_DIM,
    "vocabulary": VOCABULARY,
    "logits": VOCABULARY,
}


def make(ops: tuple[Record, ...] = OPS, slots: tuple[Slot, ...] = SLOTS, shape: dict[str, int] | None = None) -> Any:
    made = [native.Op(op.code, op.input, op.output, list(op.weights), list(op.sizes), list(op.scalars)) for op in ops]
    held = [native.Slot(slot.kind, slot.rows, slot.width, slot.activation_group, slot.stretch) for slot in slots]
    return native.Plan(made, held, WEIGHTS, **(shape or SHAPE))


def test_the_sound_plan_runs() -> None:
    plan = make()
    assert plan.weight_bytes == sum(weight.nbytes for weight in WEIGHTS)
    logits = run_all_rows(executor(plan), 20)
    assert logits.shape == (20, VOCABULARY)
    assert np.isfinite(logits).all()


def op(index: int, **fields: Any) -> Callable[[], Any]:
    return lambda: make((*OPS[:index], replace(OPS[index], **fields), *OPS[index + 1 :]))


def size(index: int, which: int, value: int) -> Callable[[], Any]:
    sizes = [*OPS[index].sizes, 0, 0, 0, 0, 0][:5]
    sizes[which] = value
    return op(index, sizes=tuple(sizes))


def slot(index: int, **fields: Any) -> Callable[[], Any]:
    return lambda: make(OPS, (*SLOTS[:index], replace(SLOTS[index], **fields), *SLOTS[index + 1 :]))


def shape(**fields: int) -> Callable[[], Any]:
    return lambda: make(OPS, SLOTS, SHAPE | fields)


@pytest.mark.parametrize(
    ("spoiled", "match"),
    [
        (op(EMBED, code="lookup"), "code = 'lookup': must be one of embed, rms_norm"),
        (op(EMBED, output=9), r"op 0 \(embed\): output = 9: must be a slot from 0 to 8"),
        (op(EMBED, output=-1), r"op 0 \(embed\): output = -1"),
        (op(EMBED, output=1), "output = 1: must be a slot of kind f32"),
        (op(EMBED, output=5), "output = 5: must be a slot of tokens rows"),
        (op(EMBED, output=2**40), "must fit 32 bits"),
        (op(EMBED, weights=(1,)), "table = 1: must be a table, not vector"),
        (op(EMBED, weights=(11,)), "table = 11: must be a weight number under 11"),
        (op(EMBED, weights=()), "table = -1"),
        (op(EMBED, weights=(0, 1)), r"weights\[1\] = 1: must be none"),
        (op(EMBED, weights=(0, 0, 0, 0)), "at most 3"),
        (size(EMBED, 0, 8), "width = 8: the table is 16 wide"),
        (size(EMBED, 1, 1), r"sizes\[1\] = 1: must be 0"),
        (shape(vocabulary=VOCABULARY + 1), "table rows = 40: must be at least the vocabulary 41"),
        (size(NORM_QUANTIZE, 0, 0), r"op 1 \(rms_norm_quantize\): width = 0"),
        (size(NORM_QUANTIZE, 0, 2**50), "width = "),
        (size(NORM_QUANTIZE, 1, 48), "activation_group = 48"),
        (size(NORM_QUANTIZE, 1, 32), "activation_group = 32: the quantized slot has 0"),
        (op(NORM_QUANTIZE, scalars=(float("nan"),)), "eps = nan"),
        (op(NORM_QUANTIZE, scalars=(1e300,)), "eps = inf"),
        (op(NORM_QUANTIZE, scalars=(0.0,)), "eps = 0"),
        (op(NORM_QUANTIZE, weights=(7,)), "weight length = 8: must be 16"),
        (op(NORM_QUANTIZE, output=0), "output = 0: must be a slot of kind quantized"),
        (slot(1, width=17), "width = 16: the quantized slot is 17 wide"),
        (slot(1, stretch=0), "must not share stretch 0 with the input"),
        (slot(1, activation_group=32), "activation_group = 0: the quantized slot has 32"),
        (slot(1, activation_group=33), "slot 1 activation_group = 33"),
        (slot(0, activation_group=32), "slot 0 activation_group = 32"),
        (slot(0, width=0), "slot 0 width = 0"),
        (slot(0, width=2**60), "slot 0 width = "),
        (slot(0, stretch=9), "slot 0 stretch = 9"),
        (slot(0, stretch=-1), "slot 0 stretch = -1"),
        (slot(0, kind="int8"), "kind = 'int8'"),
        (slot(0, rows="all"), "rows = 'all'"),
        (slot(0, rows="selected"), "output = 0: must be a slot of tokens rows"),
        (slot(2, width=QKV - 1), "output_column [+] columns = 32: slot 2 is 31 wide"),
        (size(QKV_MATMUL, 0, 15), "k = 15: the weight has depth 16"),
        (size(QKV_MATMUL, 1, QKV + 1), "columns = 33: the weight gives 32"),
        (size(QKV_MATMUL, 2, 4), "epilogue = 4"),
        (size(QKV_MATMUL, 2, 2), "columns = 32: the weight gives 16"),
        (size(QKV_MATMUL, 3, 32), "activation_group = 32: the quantized slot has 0"),
        (size(QKV_MATMUL, 4, 1), "output_column [+] columns = 33"),
        (size(QKV_MATMUL, 4, -1), "output_column = -1"),
        (op(QKV_MATMUL, weights=(1,)), "matrix = 1: must be a packed matrix, not a vector"),
        (op(QKV_MATMUL, weights=(0,)), "matrix = 0: must be a packed matrix, not a table"),
        (op(QKV_MATMUL, weights=(2, 1)), "bias length = 16: must be 32"),
        (op(QKV_MATMUL, weights=(2, 3)), "bias = 3: must be a vector"),
        (op(QKV_MATMUL, weights=(10,), sizes=(WIDTH, QKV, 0, 64, 0)), "must be 0 or the weight's group 32"),
        (op(QKV_MATMUL, input=0), "input = 0: must be a slot of kind quantized"),
        (size(QKV_MATMUL, 2, 1), "slot 2 columns = 32: read here, but only 0 hold"),
        (op(OUTPUT, input=1), "input = 1: must be a slot of kind f32"),
        (size(OUTPUT, 3, 32), "activation_group = 32: must be 0 for a dense weight"),
        (op(ROPE, output=3), "output = 3: must be the input slot"),
        (op(ROPE, input=0, output=0), "slot 0 columns = 32: the slot is 16 wide"),
        (op(ROPE, weights=(7, -1, -1)), "inv_freq length = 8: must be 4"),
        (op(ROPE, weights=(6, 6, -1)), "q_norm length = 4: must be 8"),
        (op(ROPE, weights=(6, -1, 0)), "k_norm = 0: must be a vector"),
        (op(ROPE, weights=()), "inv_freq = -1"),
        (op(ROPE, scalars=(0.0, 1.0)), "eps = 0"),
        (op(ROPE, scalars=(1e-5, float("inf"))), "attention_factor = inf"),
        (size(ROPE, 0, 3), "slot 2 columns = 40: the slot is 32 wide"),
        (size(ROPE, 1, 2), "kv_heads = 2: the plan has 1"),
        (size(ROPE, 2, 4), "head_dim = 4: the plan has 8"),
        (size(ROPE, 3, 7), "rotary_dim = 7: must be even"),
        (size(ROPE, 3, 10), "rotary_dim = 10"),
        (size(ROPE, 3, 0), "rotary_dim = 0"),
        (size(ROPE, 4, 1), "layer = 1: the plan has 1"),
        (size(ROPE, 4, -1), "layer = -1"),
        (size(ATTENTION, 0, 2**62), "heads = "),
        (size(ATTENTION, 3, 1), "layer = 1"),
        (size(ATTENTION, 4, -1), "window = -1"),
        (op(ATTENTION, scalars=(float("nan"),)), "scale = nan"),
        (op(ATTENTION, output=2), "output = 2: must not share stretch 2"),
        (op(ATTENTION, output=5), "must be a slot of tokens rows"),
        (shape(kv_heads=2), "kv_heads = 1: the plan has 2"),
        (shape(layers=2, head_dim=4), "head_dim = 8: the plan has 4"),
        (shape(layers=0), "plan: layers = 0"),
        (shape(layers=2**40), "plan: layers = "),
        (shape(logits=39), "slot 7 .* width = 40: must equal logits = 39"),
        (lambda: make(OPS[:3] + OPS[4:]), "layer = 0: no rope_kv before"),
        (lambda: make(OPS[1:]), "slot 0 columns = 16: read here, but only 0 hold"),
        (lambda: make(OPS[:-1]), r"slot 6 \(the output of the last op\) width = 16"),
        (lambda: make(OPS[:-3]), r"slot 0 .* rows = 0: logits must be of selected rows"),
        (lambda: make(OPS[:2]), r"slot 1 .* kind = 1: logits must be an f32 slot"),
        (lambda: make(()), "plan: ops = 0"),
        (lambda: make(OPS, ()), "plan: slots = 0"),
        (size(LOGITS, 1, 39), "columns written = 39: the ops must write all 40"),
        (op(SELECT, output=0), "must be a slot of selected rows"),
        (op(SELECT, input=5), "must be a slot of tokens rows"),
        (op(NORM, input=0), "output = 6: must be a slot of tokens rows"),
    ],
)
def test_refused(spoiled: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        spoiled()


def test_a_slot_that_another_of_its_stretch_overwrote() -> None:
    """Slot 8 shares the residual's stretch: after the matmul writes it, the residual is gone."""
    ops = (*OPS[:6], replace(OPS[QKV_MATMUL], output=8), *OPS[6:])
    with pytest.raises(ValueError, match="slot 0 columns = 16: read here, but only 0 hold values"):
        make(ops)


def test_add_and_gated_and_norm_in_place() -> None:
    ops = (
        *OPS[:3],
        Record("gated", 2, 3, (), (16, 0)),
        Record("add", 3, 0, (), (WIDTH,)),
        Record("rms_norm", 0, 0, (1,), (WIDTH,), (1e-5,)),
        *OPS[9:],
    )
    assert np.isfinite(run_all_rows(executor(make(ops)), 5)).all()
    with pytest.raises(ValueError, match="output = 2: must not share stretch"):
        make((*ops[:3], Record("gated", 2, 2, (), (16, 0)), *ops[3:]))
    with pytest.raises(ValueError, match="activation = 2"):
        make((*ops[:3], Record("gated", 2, 3, (), (16, 2)), *ops[4:]))


def test_plan_takes_only_its_own_types() -> None:
    with pytest.raises(TypeError):
        native.Plan([1], [], [], 1, 1, 8, 1, 1)
    with pytest.raises(TypeError):
        native.Op("embed", 0, 0, [0], [1.5])
    with pytest.raises(TypeError):
        native.Plan([], [], [None], 1, 1, 8, 1, 1)


INTERESTING = st.sampled_from([-1, 0, 1, 2, 3, 7, 8, 10, 15, 16, 17, 32, 33, 40, 64, 128, 2**31, 2**40, 2**62])
RECORDS = st.builds(
    Record,
    st.sampled_from(["embed", "rms_norm", "quantize", "rms_norm_quantize", "matmul", "rope_kv", "attention", "gated"]),
    st.integers(-1, 9),
    st.integers(-1, 9),
    st.lists(st.integers(-1, 11), max_size=3).map(tuple),
    st.lists(INTERESTING, max_size=5).map(tuple),
    st.lists(st.floats(), max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, len(OPS) - 1), st.integers(0, 4), INTERESTING), max_size=2),
    st.lists(st.tuples(st.integers(0, len(OPS) - 1), st.integers(0, 8), st.integers(0, 8)), max_size=1),
    st.lists(st.tuples(st.integers(0, len(SLOTS) - 1), st.integers(0, 8), INTERESTING), max_size=2),
    st.lists(st.tuples(st.integers(0, len(OPS)), RECORDS), max_size=1),
)
def test_any_plan_runs_or_is_refused(
    sizes: list[tuple[int, int, int]],
    slots_of_ops: list[tuple[int, int, int]],
    slots: list[tuple[int, int, int]],
    inserted: list[tuple[int, Record]],
) -> None:
    ops, held = list(OPS), list(SLOTS)
    for index, which, value in sizes:
        changed = [*ops[index].sizes, 0, 0, 0, 0, 0][:5]
        changed[which] = value
        ops[index] = replace(ops[index], sizes=tuple(changed))
    for index, source, target in slots_of_ops:
        ops[index] = replace(ops[index], input=source, output=target)
    for index, stretch, width in slots:
        held[index] = replace(held[index], stretch=stretch, width=width)
    for index, record in inserted:
        ops.insert(index, record)
    try:
        plan = make(tuple(ops), tuple(held))
    except ValueError as error:
        assert str(error).startswith(("op ", "plan: "))
        return
    assert run_all_rows(executor(plan, pages=2), 20).shape == (20, VOCABULARY)
