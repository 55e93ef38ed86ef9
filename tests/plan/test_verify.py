"""Each verifier against a plan that was right until one thing was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from honed.errors import PlanError
from honed.ops.table import Weight
from honed.plan import graph as g
from honed.plan import lowered as low
from honed.plan.buffers import share_stretches
from honed.plan.formats import DenseFormat
from honed.plan.fuse import fuse
from honed.plan.graph import Graph, Statement
from honed.plan.lower import lower
from honed.plan.verify import verify_fused, verify_graph, verify_layout
from plan_graphs import BY_ROW, formats_of, legal, recorded


def changed(graph: Graph, kind: type[g.Operation], change: Callable[[Statement], Statement | None]) -> Graph:
    """The graph with the first statement of a kind changed, or left out."""
    found = next(statement for statement in graph if isinstance(statement.operation, kind))
    replaced = change(found)
    statements = [replaced if statement is found else statement for statement in graph]
    return Graph(tuple(statement for statement in statements if statement is not None))


def operation(**fields: Any) -> Callable[[Statement], Statement]:
    return lambda statement: replace(statement, operation=replace(statement.operation, **fields))


def value(**fields: Any) -> Callable[[Statement], Statement]:
    return lambda statement: replace(statement, value=replace(statement.value, **fields))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (g.Linear, operation(inputs=(400,)), "reads value 400 before it is computed"),
        (g.Linear, value(width=47), "is said to give"),
        (g.Linear, lambda s: replace(s, number=0), "is defined twice"),
        (g.Linear, operation(weight=Weight("w", (48, 47))), "takes 47 features"),
        (g.Attention, operation(layer=1), r"attention layers are \[1, 1\]"),
        (g.Linear, lambda _: None, "before it is computed"),
    ],
)
def test_recorded(kind: type[g.Operation], change: Callable[[Statement], Statement | None], problem: str) -> None:
    graph = recorded()
    verify_graph(graph)
    with pytest.raises(PlanError, match=problem):
        verify_graph(changed(graph, kind, change))


def test_a_graph_must_end_in_selected_logits() -> None:
    graph = recorded()
    selected = next(i for i, s in enumerate(graph) if isinstance(s.operation, g.Select))
    with pytest.raises(PlanError, match="must be the float32 logits of the selected rows"):
        verify_graph(Graph(graph.statements[:selected]))
    with pytest.raises(PlanError, match=r"attention layers are \[\]"):
        verify_graph(Graph(()))


def test_what_is_not_legal_is_not_executable() -> None:
    graph = recorded()
    with pytest.raises(PlanError, match="not an operation of the executor"):
        verify_fused(graph, formats_of(graph))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        (g.PackedAttention, operation(inputs=(0,)), "do not fill a row"),
        (g.Concat, lambda s: replace(s, operation=g.Concat((2, 2, 4))), "cannot be computed into columns"),
        (g.Quantize, lambda s: replace(s, operation=g.Quantize(s.operation.inputs, 64)), "is said to give"),
    ],
)
def test_legal(kind: type[g.Operation], change: Callable[[Statement], Statement], problem: str) -> None:
    graph, formats = legal(default=BY_ROW)
    verify_fused(graph, formats)
    with pytest.raises(PlanError, match=problem):
        verify_fused(changed(graph, kind, change), formats)


def test_a_matmul_must_be_given_what_its_weight_takes() -> None:
    graph, formats = legal()
    with pytest.raises(PlanError, match="has weights of Int8Format"):
        verify_fused(graph, dict.fromkeys(formats, BY_ROW))
    merged = fuse(graph, formats, ["merge_projections"])
    with pytest.raises(PlanError, match="holds weights of different formats"):
        verify_fused(merged, formats | {"model.layers.0.self_attn.q_proj.weight": BY_ROW})


def test_what_is_changed_in_place_must_not_be_read_again() -> None:
    graph, formats = legal()
    fused = fuse(graph, formats, ["fuse_residual"])
    first = next(s for s in fused if isinstance(s.operation, g.Matmul) and s.operation.epilogue == "add")
    late = changed(fused, g.Select, operation(inputs=(first.operation.inputs[1],)))
    with pytest.raises(PlanError, match="adds in place to value 0, which is read again later"):
        verify_fused(late, formats)
    concat = next(s for s in graph if isinstance(s.operation, g.Concat))
    wide = concat.value.width
    extra = Statement(900, g.Select((concat.number,)), g.Value("selected", wide))
    with pytest.raises(PlanError, match="is read by something else than attention"):
        verify_fused(Graph((*graph.statements[:-1], extra, graph.output)), formats)


def test_caches_must_be_alike() -> None:
    graph, formats = legal("llama2")
    narrow = changed(graph, g.PackedAttention, operation(heads=2, kv_heads=2, head_dim=24))
    with pytest.raises(PlanError, match=r"caches of \[\(2, 24\), \(4, 12\)\]"):
        verify_fused(narrow, formats)


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
        (low.MatmulOp, {"input": 999}, "slot 999 is outside"),
        (low.MatmulOp, {"matrix": 999}, "weight 999 is outside"),
        (low.MatmulOp, {"columns": 100}, "44 columns are not written"),
        (low.MatmulOp, {"output_column": 1}, "writes columns 1 to 145 of 144"),
        (low.RmsNormOp, {"input": 5}, "reads slot 5, of which"),
        (low.EmbedOp, {"output": 3}, "reads slot 0, of which 48 columns are not written"),
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


def test_the_last_op_must_write_selected_rows() -> None:
    plan = laid_out()
    with pytest.raises(PlanError, match="last op must write the logits"):
        verify_layout(replace(plan, ops=plan.ops[:5]))
