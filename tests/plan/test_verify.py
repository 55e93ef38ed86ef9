"""Each verifier against a plan that was right until one thing was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from honed.errors import PlanError
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import Attention, Linear, Select
from honed.ops.values import Value, Weight
from honed.plan import lowered as low
from honed.plan import lowered_ops
from honed.plan.buffers import share_stretches
from honed.plan.formats import DenseFormat
from honed.plan.fuse import fuse
from honed.plan.lower import lower
from honed.plan.operations import Concat, Matmul, PackedAttention, Quantize
from honed.plan.verify import verify_fused, verify_graph, verify_layout
from plan_graphs import BY_ROW, formats_of, legal, recorded


def changed(graph: Graph, kind: type[Operation], change: Callable[[Statement], Statement | None]) -> Graph:
    """The graph with the first statement of a kind changed, or left out."""
    found = next(statement for statement in graph if isinstance(statement.operation, kind))
    replaced = change(found)
    statements = [replaced if statement is found else statement for statement in graph]
    return replace(graph, statements=tuple(statement for statement in statements if statement is not None))


def operation(**fields: Any) -> Callable[[Statement], Statement]:
    return lambda statement: replace(statement, operation=replace(statement.operation, **fields))


def value(**fields: Any) -> Callable[[Statement], Statement]:
    return lambda statement: replace(statement, value=replace(statement.value, **fields))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (Linear, operation(inputs=(400,)), "reads value 400 before it is computed"),
        (Linear, value(width=47), "is said to give"),
        (Linear, lambda s: replace(s, number=0), "is defined twice"),
        (Linear, operation(weight=Weight("w", (48, 47))), "takes 47 features"),
        (Attention, operation(cache=1), r"attention is over caches \[1, 1\]"),
        (Linear, lambda _: None, "before it is computed"),
    ],
)
def test_recorded(kind: type[Operation], change: Callable[[Statement], Statement | None], problem: str) -> None:
    graph = recorded()
    verify_graph(graph)
    with pytest.raises(PlanError, match=problem):
        verify_graph(changed(graph, kind, change))


def test_results_must_be_there_and_be_floats() -> None:
    graph, _ = legal(default=BY_ROW)
    quantized = next(s.number for s in graph if isinstance(s.operation, Quantize))
    for outputs, problem in (
        ({"logits": 0}, "logits are .* must be those of the selected rows"),
        ({"hidden": quantized}, "hidden is .* must be float32"),
        ({"hidden": 999}, "gives no hidden"),
        ({}, "gives nothing"),
    ):
        with pytest.raises(PlanError, match=problem):
            verify_graph(replace(graph, outputs=outputs))


def test_what_is_not_legal_is_not_executable() -> None:
    graph = recorded()
    with pytest.raises(PlanError, match="not an operation of the executor"):
        verify_fused(graph, formats_of(graph))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (PackedAttention, operation(inputs=(0,)), "do not fill a row"),
        (Concat, lambda s: replace(s, operation=Concat((2, 2, 4))), "cannot be computed into columns"),
        (Quantize, lambda s: replace(s, operation=Quantize(s.operation.inputs, 64)), "is said to give"),
    ],
)
def test_legal(kind: type[Operation], change: Callable[[Statement], Statement], problem: str) -> None:
    graph, formats = legal(default=BY_ROW)
    verify_fused(graph, formats)
    with pytest.raises(PlanError, match=problem):
        verify_fused(changed(graph, kind, change), formats)


def test_a_matmul_must_be_given_what_its_weight_takes() -> None:
    graph, formats = legal()
    with pytest.raises(PlanError, match="has weights of int8 per channel"):
        verify_fused(graph, dict.fromkeys(formats, BY_ROW))
    merged = fuse(graph, formats, ["merge_projections"])
    with pytest.raises(PlanError, match="holds weights of different formats"):
        verify_fused(merged, formats | {"model.layers.0.self_attn.q_proj.weight": BY_ROW})


def test_what_is_changed_in_place_must_not_be_read_again() -> None:
    graph, formats = legal()
    fused = fuse(graph, formats, ["fuse_residual"])
    first = next(s for s in fused if isinstance(s.operation, Matmul) and s.operation.epilogue == "add")
    late = changed(fused, Select, operation(inputs=(first.operation.inputs[1],)))
    with pytest.raises(PlanError, match="adds in place to value 0, which is read again later"):
        verify_fused(late, formats)
    concat = next(s for s in graph if isinstance(s.operation, Concat))
    wide = concat.value.width
    extra = Statement(900, Select((concat.number,)), Value("selected", wide))
    with pytest.raises(PlanError, match="is read by something else than attention"):
        verify_fused(replace(graph, statements=(*graph.statements, extra)), formats)
    hidden = replace(fused, outputs={**fused.outputs, "hidden": first.operation.inputs[1]})
    with pytest.raises(PlanError, match="adds in place to value 0, which is read again later"):
        verify_fused(hidden, formats)


def test_caches_may_differ() -> None:
    graph, formats = legal("llama2")
    spec = next(graph.operations(PackedAttention)).spec
    wide = changed(graph, PackedAttention, operation(heads=2, kv_heads=2, spec=replace(spec, head_dim=24)))
    verify_fused(wide, formats)
    assert lower(wide, formats).caches == (low.PlanCache(2, 24, 24), low.PlanCache(4, 12, 12))


# ---- as laid out


def laid_out() -> low.LoweredPlan:
    graph, formats = legal(default=DenseFormat("float32"))
    plan = share_stretches(lower(fuse(graph, formats), formats))
    verify_layout(plan)
    return plan


def with_op(plan: low.LoweredPlan, kind: type, **fields: Any) -> low.LoweredPlan:
    index = next(i for i, op in enumerate(plan.ops) if isinstance(op, kind))
    return replace(plan, ops=(*plan.ops[:index], replace(plan.ops[index], **fields), *plan.ops[index + 1 :]))


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        (lowered_ops.MatmulOp, {"input": 999}, "slot 999 is outside"),
        (lowered_ops.MatmulOp, {"matrix": 999}, "weight 999 is outside"),
        (lowered_ops.MatmulOp, {"columns": 100}, "44 columns are not written"),
        (lowered_ops.MatmulOp, {"output_column": 1}, "writes columns 1 to 145 of 144"),
        (lowered_ops.RmsNormOp, {"input": 5}, "reads slot 5, of which"),
        (lowered_ops.EmbedOp, {"output": 3}, "reads slot 0, of which 48 columns are not written"),
    ],
)
def test_an_op_out_of_place(kind: type, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(PlanError, match=problem):
        verify_layout(with_op(laid_out(), kind, **fields))


def test_living_slots_must_not_share_a_stretch() -> None:
    plan = laid_out()
    for number, slot in enumerate(plan.slots[1:4], start=1):
        overlapping = replace(slot, stretch=plan.slots[0].stretch)
        slots = (*plan.slots[:number], overlapping, *plan.slots[number + 1 :])
        with pytest.raises(PlanError, match=f"slots 0 and {number} are both alive"):
            verify_layout(replace(plan, slots=slots))


def test_packed_columns_must_be_in_bounds_and_taken_once() -> None:
    plan = laid_out()
    number = next(i for i, w in enumerate(plan.weights) if isinstance(w, low.MatrixWeight) and len(w.parts) == 3)
    matrix = plan.weights[number]
    assert isinstance(matrix, low.MatrixWeight)
    for first, problem in ((47, "takes columns that are taken"), (2000, "goes outside its 160 columns")):
        parts = (matrix.parts[0], replace(matrix.parts[1], first_column=first), matrix.parts[2])
        weights = (*plan.weights[:number], replace(matrix, parts=parts), *plan.weights[number + 1 :])
        with pytest.raises(PlanError, match=problem):
            verify_layout(replace(plan, weights=weights))


def test_results_must_be_written() -> None:
    plan = laid_out()
    with pytest.raises(PlanError, match=r"logits is in slot .*, of which 97 columns are not written"):
        verify_layout(replace(plan, ops=plan.ops[:5]))
    with pytest.raises(PlanError, match="gives nothing"):
        verify_layout(replace(plan, outputs=()))
