from __future__ import annotations

from collections.abc import Mapping

import pytest

from honed.errors import PlanError
from honed.ops.graph import Graph, Statement
from honed.ops.table import Add, Embedding, RmsNorm
from honed.ops.values import Value, Weight
from honed.plan import lowered as low
from honed.plan import lowered_ops
from honed.plan.formats import DenseFormat, Format
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.lower import lower, packed_biases, packed_matrix
from honed.plan.operations import Part
from plan_graphs import BY_ROW, legal, recorded

DENSE = DenseFormat("bfloat16")


def lowered(family: str, chosen: Mapping[str, Format] | None = None, *, fused: bool = True) -> low.LoweredPlan:
    graph, formats = legal(family, chosen, DENSE)
    return lower(fuse(graph, formats, FUSIONS if fused else ()), formats)


def codes(plan: low.LoweredPlan) -> list[str]:
    return [op.name for op in plan.ops]


def test_a_fused_layer() -> None:
    layer = ["rms_norm", "matmul", "rope_kv", "attention", "matmul", "rms_norm", "matmul", "matmul"]
    assert codes(lowered("mistral"))[:9] == ["embed", *layer]


def test_sizes_of_the_model_and_of_its_ops() -> None:
    plan = lowered("qwen3")
    assert plan.inputs == (low.PlanIds("tokens", 97),)
    assert plan.caches == (low.PlanCache(2, 20, 20),) * 2
    assert plan.slots[plan.output("logits")].width == 97
    rope = next(op for op in plan.ops if isinstance(op, lowered_ops.RopeKvOp))
    assert (rope.heads, rope.rotary_dim, rope.eps) == (4, 20, 1e-6)
    assert rope.q_norm is not None
    assert plan.weights[rope.q_norm] == low.VectorWeight("model.layers.0.self_attn.q_norm.weight", 20)
    assert plan.slots[rope.slot].width == 8 * 20


def test_projections_that_stay_apart_write_columns_of_one_slot() -> None:
    plan = lowered("llama2", {"k_proj": BY_ROW})
    q, k, v = [op for op in plan.ops if isinstance(op, lowered_ops.MatmulOp)][:3]
    assert q.output == k.output == v.output
    assert [(op.output_column, op.columns) for op in (q, k, v)] == [(0, 48), (48, 48), (96, 48)]
    assert plan.slots[k.input].quantized
    assert not plan.slots[q.input].quantized


def test_unfused_residuals_and_gates_have_ops_of_their_own() -> None:
    plan = lowered("llama2", fused=False)
    assert codes(plan).count("add") == 4
    assert codes(plan).count("gated") == 2
    gated = next(op for op in plan.ops if isinstance(op, lowered_ops.GatedOp))
    assert plan.slots[gated.input].width == 2 * gated.width


def test_a_residual_is_one_slot_from_the_embedding_to_the_selection() -> None:
    plan = lowered("llama2")
    written = {op.output for op in plan.ops if isinstance(op, lowered_ops.MatmulOp) and op.epilogue == "add"}
    assert plan.ops[0].output in written
    assert {plan.slots[slot].rows for slot in written} == {"tokens", "selected"}
    assert len(written) == 2


def test_weights_that_are_shared_are_loaded_once() -> None:
    plan = lowered("smollm2")
    assert len(set(plan.weights)) == len(plan.weights)
    assert sum(isinstance(weight, low.ConstantWeight) for weight in plan.weights) == 1
    table = [w for w in plan.weights if isinstance(w, low.TableWeight)]
    head = [w for w in plan.weights if isinstance(w, low.MatrixWeight) and w.parts[0].name == table[0].name]
    assert len(table) == len(head) == 1


def parts(*rows: int, bias: bool = False) -> list[Part]:
    return [Part(Weight(f"w{i}", (n, 8)), Weight(f"b{i}", (n,)) if bias else None) for i, n in enumerate(rows)]


def test_columns_side_by_side_and_interleaved() -> None:
    formats: dict[str, Format] = dict.fromkeys(("w0", "w1", "w2"), DENSE)
    matrix = packed_matrix(parts(20, 5, 40), formats, interleaved=False)
    assert [(p.first_column, p.tile_step) for p in matrix.parts] == [(0, 1), (20, 1), (25, 1)]
    assert matrix.columns == 96
    gated = packed_matrix(parts(20, 20, bias=True), formats, interleaved=True)
    assert gated.columns == 64
    assert gated.parts[0].columns.tolist() == [*range(16), *range(32, 36)]
    assert gated.parts[1].columns.tolist() == [*range(16, 32), *range(48, 52)]
    biases = packed_biases(parts(20, 20, bias=True), gated)
    assert biases is not None
    assert [(p.name, p.first_column) for p in biases.parts] == [("b0", 0), ("b1", 16)]
    assert packed_biases(parts(20, 5), packed_matrix(parts(20, 5), formats, interleaved=False)) is None


def test_a_graph_that_is_not_legal_has_no_lowering() -> None:
    with pytest.raises(PlanError, match=r"Linear: has no lowering"):
        lower(recorded("llama2"), {})


def test_a_sum_whose_operands_both_live_on_has_no_lowering() -> None:
    value = Value("tokens", 8)
    statements = (
        Statement(0, Embedding((), Weight("t", (9, 8))), value),
        Statement(1, RmsNorm((0,), Weight("n", (8,)), 1e-6), value),
        Statement(2, Add((0, 1)), value),
        Statement(3, Add((0, 1)), value),
    )
    with pytest.raises(PlanError, match="both operands of value 2 are read again"):
        lower(Graph(statements, {"sum": 3}), {})
