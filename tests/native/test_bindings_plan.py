"""Plan validation: a sound plan, every way to spoil it, and random plans that either run or are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import executor, native, op, run_all_rows

WIDTH, HEADS, HEAD_DIM, VOCABULARY = 16, 2, 8, 40
QKV = (HEADS + 2) * HEAD_DIM


Op = tuple[str, dict[str, Any]]


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
HEAD_FIELDS = {"cache": 0, "heads": HEADS, "kv_heads": 1, "head_dim": HEAD_DIM}
OPS: tuple[Op, ...] = (
    op("embed", output=0, table=0, width=WIDTH),
    op("rms_norm_quantize", input=0, output=1, weight=1, width=WIDTH, activation_group=0, eps=1e-5),
    op("matmul", input=1, output=2, matrix=2, k=WIDTH, columns=QKV),
    op("rope_kv", slot=2, inverse_frequencies=6, q_norm=7, k_norm=None, rotary_dim=HEAD_DIM, eps=1e-5,
       attention_factor=1.0, **HEAD_FIELDS),
    op("attention", input=2, output=3, scale=0.35, **HEAD_FIELDS),
    op("matmul", input=3, output=0, matrix=3, k=HEADS * HEAD_DIM, columns=WIDTH, epilogue="add"),
    op("quantize", input=0, output=1, width=WIDTH, activation_group=0),
    op("matmul", input=1, output=4, matrix=4, k=WIDTH, columns=32, epilogue="gated_silu"),
    op("matmul", input=4, output=0, matrix=5, k=32, columns=WIDTH, epilogue="add"),
    op("select", input=0, output=5, width=WIDTH),
    op("rms_norm", input=5, output=6, weight=1, width=WIDTH, eps=1e-5),
    op("matmul", input=6, output=7, matrix=8, bias=9, k=WIDTH, columns=VOCABULARY),
)  # fmt: skip
EMBED, NORM_QUANTIZE, QKV_MATMUL, ROPE, ATTENTION, OUTPUT, QUANTIZE, GATED, DOWN, SELECT, NORM, LOGITS = range(12)
Shape = dict[str, Any]
SHAPE: Shape = {
    "inputs": [("tokens", "ids", VOCABULARY)],
    "outputs": [("logits", 7)],
    "caches": [(1, HEAD_DIM, HEAD_DIM)],
}


def make(ops: tuple[Op, ...] = OPS, slots: tuple[Slot, ...] = SLOTS, shape: Shape | None = None) -> Any:
    held = [native.Slot(slot.kind, slot.rows, slot.width, slot.activation_group, slot.stretch) for slot in slots]
    given = shape or SHAPE
    inputs = [getattr(native.Input, kind)(name, size) for name, kind, size in given["inputs"]]
    return native.Plan(ops, held, WEIGHTS, inputs, given["outputs"], given["caches"])


def test_the_sound_plan_runs() -> None:
    plan = make()
    assert plan.weight_bytes == sum(weight.nbytes for weight in WEIGHTS)
    logits = run_all_rows(executor(plan), 20)
    assert logits.shape == (20, VOCABULARY)
    assert np.isfinite(logits).all()


def packed(**fields: Any) -> Op:
    """The lookup in the place of EMBED, in the int8 matrix that has enough columns."""
    return op("embed_packed", **{"ids": 0, "output": 0, "matrix": 4, "factors": 1, "width": WIDTH} | fields)


def test_a_table_may_be_looked_up_in_packed_columns() -> None:
    plan = make(put(EMBED, packed()))
    assert np.isfinite(run_all_rows(executor(plan), 20)).all()


def put(index: int, op: Op) -> tuple[Op, ...]:
    return (*OPS[:index], op, *OPS[index + 1 :])


def changed(index: int, **fields: Any) -> Op:
    name, given = OPS[index]
    return name, given | fields


def field(index: int, **fields: Any) -> Callable[[], Any]:
    return lambda: make(put(index, changed(index, **fields)))


def without(index: int, name: str) -> Callable[[], Any]:
    op, fields = OPS[index]
    return lambda: make(put(index, (op, {key: value for key, value in fields.items() if key != name})))


def slot(index: int, **fields: Any) -> Callable[[], Any]:
    return lambda: make(OPS, (*SLOTS[:index], replace(SLOTS[index], **fields), *SLOTS[index + 1 :]))


def shape(**fields: Any) -> Callable[[], Any]:
    return lambda: make(OPS, SLOTS, SHAPE | fields)


@pytest.mark.parametrize(
    ("spoiled", "match"),
    [
        (
            lambda: make(put(EMBED, ("lookup", {}))),
            "op 0: name = 'lookup': must be one of activate, add, attention, combine",
        ),
        (field(EMBED, output=9), r"op 0 \(embed\): output = 9: must be a slot from 0 to 8"),
        (field(EMBED, output=-1), r"op 0 \(embed\): output = -1"),
        (field(EMBED, output=1), "output = 1: must be a slot of kind f32"),
        (field(EMBED, output=5), "output = 5: must be a slot of tokens rows"),
        (field(EMBED, output=2**40), "output = 1099511627776: must be a slot"),
        (field(EMBED, output=2**70), "output = 1180591620717411303424: must fit 64 bits"),
        (field(EMBED, table=1), "table = 1: must be a table, not vector"),
        (field(EMBED, table=11), "table = 11: must be a weight number under 11"),
        (field(EMBED, table=-1), "table = -1: must be a weight number"),
        (without(EMBED, "table"), r"op 0 \(embed\): table is missing: must be the number of a weight"),
        (field(EMBED, matrix=1), r"op 0 \(embed\): matrix = 1: this op has no such field; it has ids, output, table, "),
        (field(EMBED, width=8), "width = 8: the table is 16 wide"),
        (without(EMBED, "width"), "width is missing: must be an integer from 1 to"),
        (field(EMBED, ids=1), "ids = 1: must be the number of an input under 1"),
        (field(EMBED, ids=-1), "ids = -1: must be the number of an input"),
        (shape(inputs=[("tokens", "floats", WIDTH)]), "ids = 0: must be an input of ids"),
        (
            shape(inputs=[("tokens", "ids", 41)]),
            "table rows from first_row on = 40: must be at least 41, the bo",
        ),
        (field(EMBED, first_row=1), "table rows from first_row on = 39: must be at least 40"),
        (field(EMBED, first_row=40), "first_row = 40: the table has 40 rows"),
        (field(EMBED, first_row=-1), "first_row = -1: must be from 0"),
        (field(EMBED, epilogue="gated_silu"), "epilogue = 'gated_silu': must be one of store, add"),
        (field(EMBED, epilogue="add"), "slot 0 columns = 16: read here, but only 0 hold"),
        (shape(inputs=[("", "ids", 40)]), "plan: input name is empty"),
        (shape(inputs=[("tokens", "ids", 40)] * 2), "plan: input name = 'tokens': is taken"),
        (shape(inputs=[("tokens", "ids", 0)]), "plan: input 'tokens' bound = 0: must be from 1"),
        (shape(inputs=[("tokens", "ids", 2**31)]), "plan: input 'tokens' bound = 2147483648: must be"),
        (shape(inputs=[("patches", "floats", 0)]), "plan: input 'patches' width = 0: must be from 1"),
        (shape(inputs=[("positions", "floats", 8)]), "plan: input 'positions' kind = 1: must be ids"),
        (lambda: make(put(EMBED, packed(matrix=0))), "matrix = 0: must be int8, int4 or codebook, not table"),
        (lambda: make(put(EMBED, packed(matrix=8))), "matrix = 8: must be int8, int4 or codebook, not dense_f32"),
        (
            lambda: make(put(EMBED, packed(matrix=2))),
            "matrix columns = 32: must be at least 40, the bound of",
        ),
        (lambda: make(put(EMBED, packed(factors=7))), "factors length = 8: must be 16"),
        (lambda: make(put(EMBED, packed(width=8))), "width = 8: the weight has depth 16"),
        (lambda: make(put(EMBED, packed(ids=1))), "ids = 1: must be the number of an input under 1"),
        (lambda: make(put(EMBED, packed(output=5))), "output = 5: must be a slot of tokens rows"),
        (field(NORM_QUANTIZE, width=0), r"op 1 \(rms_norm_quantize\): width = 0"),
        (field(NORM_QUANTIZE, width=2**50), "width = "),
        (field(NORM_QUANTIZE, activation_group=48), "activation_group = 48: must be 0 [(]one scale a row[)], 32"),
        (field(NORM_QUANTIZE, activation_group=32), "activation_group = 32: the quantized slot has 0"),
        (field(NORM_QUANTIZE, eps=float("nan")), "eps = nan: must be finite"),
        (field(NORM_QUANTIZE, eps=1e300), "eps = inf: must be finite"),
        (field(NORM_QUANTIZE, eps=0.0), "eps = 0.*: must be over 0"),
        (without(NORM_QUANTIZE, "eps"), "eps is missing: must be a number"),
        (field(NORM_QUANTIZE, weight=7), "weight length = 8: must be 16"),
        (field(NORM_QUANTIZE, output=0), "output = 0: must be a slot of kind quantized"),
        (slot(1, width=17), "width = 16: the quantized slot is 17 wide"),
        (slot(1, stretch=0), "must not share stretch 0 with the input"),
        (slot(1, activation_group=32), "activation_group = 0: the quantized slot has 32"),
        (slot(1, activation_group=33), "slot 1 activation_group = 33"),
        (slot(0, activation_group=32), "slot 0 activation_group = 32"),
        (slot(0, width=0), "slot 0 width = 0"),
        (slot(0, width=2**60), "slot 0 width = "),
        (slot(0, stretch=9), "slot 0 stretch = 9"),
        (slot(0, stretch=-1), "slot 0 stretch = -1"),
        (slot(0, stretch=2**40), "must fit 32 bits"),
        (slot(0, kind="int8"), "kind = 'int8'"),
        (slot(0, rows="all"), "rows = 'all'"),
        (slot(0, rows="selected"), "output = 0: must be a slot of tokens rows"),
        (slot(2, width=QKV - 1), "output_column [+] columns = 32: slot 2 is 31 wide"),
        (field(QKV_MATMUL, k=15), "k = 15: the weight has depth 16"),
        (field(QKV_MATMUL, columns=QKV + 1), "columns = 33: the weight gives 32"),
        (field(QKV_MATMUL, epilogue="sub"), "epilogue = 'sub': must be one of store, add, gated_silu, gated_gelu_tanh"),
        (without(QKV_MATMUL, "epilogue"), "epilogue is missing: must be one of store, add"),
        (without(QKV_MATMUL, "bias"), "bias is missing: must be the number of a weight"),
        (field(QKV_MATMUL, epilogue="gated_silu"), "columns = 32: the weight gives 16"),
        (field(QKV_MATMUL, activation_group=32), "activation_group = 32: the quantized slot has 0"),
        (field(QKV_MATMUL, output_column=1), "output_column [+] columns = 33"),
        (field(QKV_MATMUL, output_column=-1), "output_column = -1"),
        (field(QKV_MATMUL, matrix=1), "matrix = 1: must be a packed matrix, not a vector"),
        (field(QKV_MATMUL, matrix=0), "matrix = 0: must be a packed matrix, not a table"),
        (field(QKV_MATMUL, bias=1), "bias length = 16: must be 32"),
        (field(QKV_MATMUL, bias=3), "bias = 3: must be a vector"),
        (field(QKV_MATMUL, bias=-1), "bias = -1: must be a weight number"),
        (field(QKV_MATMUL, matrix=10, activation_group=64), "must be 0 or the weight's group 32"),
        (field(QKV_MATMUL, input=0), "input = 0: must be a slot of kind quantized"),
        (field(QKV_MATMUL, epilogue="add"), "slot 2 columns = 32: read here, but only 0 hold"),
        (field(OUTPUT, input=1), "input = 1: must be a slot of kind f32"),
        (field(OUTPUT, activation_group=32), "activation_group = 32: must be 0 for a dense weight"),
        (field(ROPE, slot=1), "slot = 1: must be a slot of kind f32"),
        (field(ROPE, slot=5), "slot = 5: must be a slot of tokens rows"),
        (field(ROPE, slot=0), "slot 0 columns = 32: the slot is 16 wide"),
        (field(ROPE, inverse_frequencies=7), "inverse_frequencies length = 8: must be 4"),
        (field(ROPE, q_norm=6), "q_norm length = 4: must be 8"),
        (field(ROPE, k_norm=0), "k_norm = 0: must be a vector"),
        (field(ROPE, eps=0.0), "eps = 0"),
        (field(ROPE, attention_factor=float("inf")), "attention_factor = inf"),
        (field(ROPE, heads=3), "slot 2 columns = 40: the slot is 32 wide"),
        (field(ROPE, kv_heads=2), "kv_heads = 2: the cache has 1"),
        (field(ROPE, head_dim=4), "head_dim = 4: the cache has 8"),
        (field(ROPE, rotary_dim=7), "rotary_dim = 7: must be even"),
        (field(ROPE, rotary_dim=10), "rotary_dim = 10: must be at most head_dim = 8"),
        (field(ROPE, rotary_dim=0), "rotary_dim = 0: must be over 0 with inverse_frequencies"),
        (field(ROPE, inverse_frequencies=None), "rotary_dim = 8: must be 0 without inverse_frequencies"),
        (field(ROPE, rotary_dim=-2), "rotary_dim = -2: must be from 0"),
        (field(ROPE, cache=1), "cache = 1: the plan has 1"),
        (field(ROPE, cache=-1), "cache = -1"),
        (field(ROPE, cache=None), "cache = 0: no op before this one writes its keys"),
        (field(ATTENTION, cache=None), "cache = none: no op before this one writes keys of such heads for the step"),
        (field(ATTENTION, heads=2**62), "heads = "),
        (field(ATTENTION, cache=1), "cache = 1"),
        (field(ATTENTION, before=-1), "before = -1: must be from 0"),
        (field(ATTENTION, after=-1), "after = -1: must be from 0"),
        (field(ATTENTION, after=1), "after = 1: must be 0 over a cache, which has no keys ahead"),
        (field(ATTENTION, after=None), "after = none: must be 0 over a cache"),
        (field(ATTENTION, soft_cap=-1.0), "soft_cap = -1.*: must be positive, or 0 for none"),
        (field(ATTENTION, sinks=1), "sinks length = 16: must be 2"),
        (field(ATTENTION, bias=1), "bias length = 16: must be 2"),
        (field(ATTENTION, bias=1, reach=2), "bias length = 16: must be 10"),
        (field(ATTENTION, reach=-1), "reach = -1: must be from 0"),
        (field(ATTENTION, scale=float("nan")), "scale = nan"),
        (field(ATTENTION, output=2), "output = 2: must not share stretch 2"),
        (field(ATTENTION, output=5), "must be a slot of tokens rows"),
        (shape(caches=[(2, 8, 8)]), "kv_heads = 1: the cache has 2"),
        (shape(caches=[(1, 4, 4), (1, 8, 8)]), "head_dim = 8: the cache has 4"),
        (shape(caches=[]), "cache = 0: the plan has 0"),
        (shape(caches=[(1, 8, 4)]), "plan: cache 0 value_width = 4: must be the key_width 8"),
        (shape(caches=[(0, 8, 8)]), "plan: cache 0 kv_heads = 0"),
        (shape(caches=[(1, 8, 8), (1, 2**40, 8)]), "plan: cache 1 key_width = "),
        (shape(caches=[(1, 8, 8)] * 5000), "plan: caches = 5000"),
        (shape(outputs=[]), "plan: outputs = 0"),
        (shape(outputs=[("logits", 9)]), "plan: output 'logits' slot = 9: must be from 0 to 8"),
        (shape(outputs=[("logits", -1)]), "plan: output 'logits' slot = -1"),
        (shape(outputs=[("logits", 1)]), "plan: output 'logits' slot = 1: must be an f32 slot"),
        (shape(outputs=[("logits", 7), ("again", 7)]), "plan: output 'again' slot = 7: is another output too"),
        (shape(outputs=[("logits", 7), ("logits", 5)]), "plan: output name = 'logits': is taken"),
        (shape(outputs=[("", 7)]), "plan: output name is empty"),
        (slot(7, width=41), "plan: output 'logits' slot = 7: the ops must write all 41 columns of it, not 40"),
        (lambda: make(OPS[:3] + OPS[4:]), "cache = 0: no op before this one writes its keys"),
        (lambda: make(OPS[1:]), "slot 0 columns = 16: read here, but only 0 hold"),
        (lambda: make(OPS[:-1]), "plan: output 'logits' slot = 7: the ops must write all 40 columns of it, not 0"),
        (lambda: make(()), "plan: ops = 0"),
        (lambda: make(OPS, ()), "plan: slots = 0"),
        (field(LOGITS, columns=39), "the ops must write all 40 columns of it, not 39"),
        (field(SELECT, output=0), "must be a slot of selected rows"),
        (field(SELECT, input=5), "must be a slot of tokens rows"),
        (field(NORM, input=0), "output = 6: must be a slot of tokens rows"),
    ],
)
def test_refused(spoiled: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        spoiled()


@pytest.mark.parametrize(
    ("spoiled", "match"),
    [
        (field(EMBED, width=1.5), r"op 0 \(embed\): width = 1.5.*: must be an integer from 1"),
        (field(EMBED, width="16"), "width = '16': must be an integer"),
        (field(EMBED, width=None), "width = none: must be an integer"),
        (field(EMBED, width=True), r"op 0 \(embed\): width is of type bool: must be an int"),
        (field(EMBED, width=[16]), "width is of type list"),
        (field(EMBED, width=np.int64(16)), "width is of type int64"),
        (field(EMBED, table=None), "table = none: must be the number of a weight"),
        (field(EMBED, output=0.0), "output = 0.*: must be the number of a slot"),
        (field(NORM_QUANTIZE, eps="small"), "eps = 'small': must be a number"),
        (field(NORM_QUANTIZE, activation_group="row"), "activation_group = 'row': must be 0"),
        (field(QKV_MATMUL, epilogue=1), "epilogue = 1: must be one of store, add"),
        (field(QKV_MATMUL, epilogue="\ud800"), "epilogue is of type str: must be"),
        (field(ATTENTION, before=2.0), "before = 2.*: must be an integer"),
        (lambda: native.Plan([("embed", {1: 2})], [], [], [], [], []), "a name of a field is of type int"),
        (lambda: native.Plan([1], [], [], [], [], []), "incompatible"),
        (lambda: native.Plan([("embed", [])], [], [], [], [], []), "incompatible"),
        (lambda: native.Plan([], [], [None], [], [], []), "incompatible"),
        (lambda: native.Plan([], [], [], ["tokens"], [], []), "incompatible"),
        (shape(outputs=[7]), "incompatible"),
        (shape(caches=[(1, 8)]), "incompatible"),
    ],
)
def test_wrong_types(spoiled: Callable[[], Any], match: str) -> None:
    with pytest.raises(TypeError, match=match):
        spoiled()


def test_a_whole_number_for_a_float() -> None:
    assert make(put(ROPE, changed(ROPE, attention_factor=1))).weight_bytes > 0


def test_a_slot_that_another_of_its_stretch_overwrote() -> None:
    """Slot 8 shares the residual's stretch: after the matmul writes it, the residual is gone."""
    ops = (*OPS[:6], changed(QKV_MATMUL, output=8), *OPS[6:])
    with pytest.raises(ValueError, match="slot 0 columns = 16: read here, but only 0 hold values"):
        make(ops)


def test_add_and_gated_and_norm_in_place() -> None:
    gated = op("gated", input=2, output=3, width=16, activation="silu")
    ops = (
        *OPS[:3],
        gated,
        op("add", input=3, output=0, width=WIDTH),
        op("rms_norm", input=0, output=0, weight=1, width=WIDTH, eps=1e-5),
        *OPS[9:],
    )
    assert np.isfinite(run_all_rows(executor(make(ops)), 5)).all()
    with pytest.raises(ValueError, match="output = 2: must not share stretch"):
        make((*ops[:3], (gated[0], gated[1] | {"output": 2}), *ops[3:]))
    with pytest.raises(ValueError, match="activation = 'swish': must be one of silu, gelu_tanh"):
        make((*ops[:3], (gated[0], gated[1] | {"activation": "swish"}), *ops[4:]))


def test_the_output_may_be_any_slot_of_selected_rows() -> None:
    """An op that comes after it, and its own rows in place, change nothing."""
    again = op("select", input=0, output=6, width=WIDTH)
    doubled = op("add", input=7, output=7, width=VOCABULARY)
    once, twice = run_all_rows(executor(make()), 5), run_all_rows(executor(make((*OPS, doubled, again))), 5)
    np.testing.assert_array_equal(twice, 2 * once)


GIVEN = {
    "add": op("add", input=3, output=0, width=WIDTH),
    "activate": op("activate", input=3, output=3, width=WIDTH, activation="gelu"),
    "copy": op("copy", input=3, output=0, width=WIDTH, output_column=0),
    "float_rows": op("float_rows", rows=0, output=0, width=WIDTH),
    "layer_norm": op("layer_norm", input=0, output=0, weight=1, bias=None, width=WIDTH, eps=1e-5),
    "pool": op("pool", input=0, output=5, width=WIDTH, kind="mean"),
    "embed_packed": packed(),
    "route": ("route", {"input": 0, "output": 8, "experts": 4, "chosen": 2, "scoring": "softmax"}),
    "dispatch": (
        "dispatch",
        {
            "input": 0,
            "routing": 8,
            "output": 9,
            "width": WIDTH,
            "chosen": 2,
            "kind": "f32",
            "activation_group": 0,
        },
    ),
    "expert_matmul": (
        "expert_matmul",
        {
            "input": 9,
            "routing": 8,
            "output": 10,
            "matrices": (2,),
            "biases": (3,),
            "k": WIDTH,
            "columns": 32,
            "chosen": 2,
            "epilogue": "store",
            "activation_group": 0,
            "output_column": 0,
        },
    ),
    "combine": (
        "combine",
        {"input": 10, "routing": 8, "output": 0, "width": WIDTH, "chosen": 2, "epilogue": "add"},
    ),
    "scale": op("scale", input=3, output=3, width=WIDTH, factor=0.5),
    "gated": op("gated", input=2, output=3, width=16, activation="gelu_tanh"),
} | {name: (name, fields) for name, fields in OPS}


def test_each_op_is_given_here() -> None:
    assert sorted(GIVEN) == sorted(native.OPS)


@pytest.mark.parametrize("name", native.OPS)
def test_each_field_is_needed_and_has_a_type(name: str) -> None:
    for key in GIVEN[name][1]:
        with pytest.raises(ValueError, match=rf"op 0 \({name}\): {key} is missing: must be "):
            make(((name, {other: value for other, value in GIVEN[name][1].items() if other != key}),))
        with pytest.raises(TypeError, match=rf"op 0 \({name}\): {key} is of type dict: must be "):
            make(((name, GIVEN[name][1] | {key: {}}),))
        wrong = 1 if isinstance(GIVEN[name][1][key], str) else "1"
        with pytest.raises(TypeError, match=rf"op 0 \({name}\): {key} = '?1'?: must be "):
            make(((name, GIVEN[name][1] | {key: wrong}),))
    with pytest.raises(ValueError, match=rf"op 0 \({name}\): other = 1: this op has no such field; it has "):
        make(((name, GIVEN[name][1] | {"other": 1}),))


NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 7, 8, 10, 15, 16, 17, 32, 33, 40, 64, 128, 2**31, 2**40, 2**62])
VALUES = st.one_of(
    NUMBERS, st.integers(-1, 11), st.floats(), st.none(), st.sampled_from(["add", "store", "gated_silu", "gelu_tanh"])
)
CHANGES = st.tuples(st.integers(0, 1 << 16), VALUES)


def mutated(op: Op, change: tuple[int, Any]) -> Op:
    """One of its fields with another value; of the same type more often than not."""
    name, fields = op
    which, value = change
    key = list(fields)[which % len(fields)]
    return name, fields | {key: value}


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, len(OPS) - 1), CHANGES), max_size=2),
    st.lists(st.tuples(st.integers(0, len(SLOTS) - 1), st.integers(0, 8), NUMBERS), max_size=2),
    st.lists(st.tuples(st.integers(0, len(OPS)), st.sampled_from(sorted(GIVEN)), CHANGES), max_size=1),
)
def test_any_plan_runs_or_is_refused(
    changes: list[tuple[int, tuple[int, Any]]],
    slots: list[tuple[int, int, int]],
    inserted: list[tuple[int, str, tuple[int, Any]]],
) -> None:
    ops, held = list(OPS), list(SLOTS)
    for index, change in changes:
        ops[index] = mutated(ops[index], change)
    for index, stretch, width in slots:
        held[index] = replace(held[index], stretch=stretch, width=width)
    for index, name, change in inserted:
        ops.insert(index, mutated(GIVEN[name], change))
    try:
        plan = make(tuple(ops), tuple(held))
    except (ValueError, TypeError) as error:
        assert str(error).startswith(("op ", "plan: "))
        return
    logits = run_all_rows(executor(plan, pages=2), 20)
    assert logits.shape == (20, held[SHAPE["outputs"][0][1]].width)
