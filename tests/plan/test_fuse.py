"""What each fusion makes, and where it must hold back. That results stay the same is tested on the backends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from honed.errors import ParameterError
from honed.models.recorded import recorded
from honed.ops.graph import Graph, Statement
from honed.ops.table import Add, Embedding
from honed.ops.values import Value, Weight
from honed.plan.formats import DenseFormat
from honed.plan.fuse import FUSIONS, fuse
from honed.plan.legalize import legalize
from honed.plan.operations import Matmul, NormQuantize, PackedAttention, Part
from honed.plan.verify import verify_fused, verify_graph
from plan_graphs import BY_GROUP, BY_ROW, formats_of, legal, names
from tiny_models import FAMILIES
from unknown_op import Unknown, odd_model


def matmuls(graph: Graph) -> list[Matmul]:
    return [s.operation for s in graph if isinstance(s.operation, Matmul)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fusion", [*FUSIONS, "all"])
def test_the_result_verifies(family: str, fusion: str) -> None:
    for default in (DenseFormat("bfloat16"), BY_ROW):
        graph, formats = legal(family, default=default)
        fused = fuse(graph, formats, FUSIONS if fusion == "all" else [fusion])
        verify_fused(fused, formats)
        assert fused.output("logits").value == graph.output("logits").value


def test_a_layer_is_left_with_one_op_for_each_pass_over_memory() -> None:
    graph, formats = legal("qwen2", default=BY_ROW)
    fused = names(fuse(graph, formats))
    layer = ["NormQuantize", "Matmul", "PackedAttention", "Quantize", "Matmul", "NormQuantize", "Matmul"]
    assert fused[:10] == ["Embedding", *layer, "Quantize", "Matmul"]


def test_projections_of_one_kind_merge() -> None:
    graph, formats = legal("qwen2")
    merged = fuse(graph, formats, ["merge_projections"])
    first, *_ = matmuls(merged)
    assert [part.weight.name.split(".")[-2] for part in first.parts] == ["q_proj", "k_proj", "v_proj"]
    assert all(part.bias is not None for part in first.parts)
    assert "Concat" not in names(merged)


def test_projections_stay_apart_where_encodings_differ() -> None:
    for chosen in ({"q_proj": BY_ROW}, {"v_proj": BY_GROUP, "q_proj": BY_ROW, "k_proj": BY_ROW}):
        graph, formats = legal("llama2", chosen)
        merged = fuse(graph, formats, ["merge_projections"])
        assert names(merged).count("Concat") == 2  # q, k, v of both layers; gate and up are merged
        verify_fused(merged, formats)


def test_projections_stay_apart_where_only_some_have_a_bias() -> None:
    graph, formats = legal("llama2")

    def with_bias(statement: Statement) -> Statement:
        operation = statement.operation
        if isinstance(operation, Matmul) and "layers.0.self_attn.q_proj" in operation.parts[0].weight.name:
            part = replace(operation.parts[0], bias=Weight("bias", (operation.parts[0].weight.shape[0],)))
            return replace(statement, operation=replace(operation, parts=(part,)))
        return statement

    graph = replace(graph, statements=tuple(with_bias(statement) for statement in graph))
    assert names(fuse(graph, formats, ["merge_projections"])).count("Concat") == 1


def test_gate_and_up_of_different_kinds_keep_the_gated_op() -> None:
    graph, formats = legal("llama2", {"layers.1.mlp.up": BY_ROW})
    fused = fuse(graph, formats)
    assert names(fused).count("PackedGated") == 1
    assert [m.epilogue for m in matmuls(fused)].count("gated_silu") == 1


def test_a_residual_that_is_read_again_is_not_written_to() -> None:
    graph, formats = legal("llama2")
    add = next(s for s in graph if isinstance(s.operation, Add))
    again = Statement(graph.next_number(), Add((add.number, add.operation.inputs[0])), add.value)
    position = graph.statements.index(add) + 1
    statements = (*graph.statements[:position], again, *graph.statements[position:])
    longer = Graph(statements, {**graph.outputs, "again": again.number})
    fused = fuse(longer, formats, ["fuse_residual"]).by_number()
    assert isinstance(fused[add.number].operation, Add)


def test_a_matmul_is_not_added_to_its_own_input() -> None:
    part = Part(Weight("w", (8, 8)), None)
    statements = [
        Statement(0, Embedding((), Weight("table", (9, 8))), Value("tokens", 8)),
        Statement(1, Matmul((0,), (part,), "store"), Value("tokens", 8)),
        Statement(2, Add((0, 1)), Value("tokens", 8)),
    ]
    graph = Graph(tuple(statements), {"sum": 2})
    assert fuse(graph, {"w": DenseFormat("float32")}, ["fuse_residual"]) == graph


def test_a_norm_that_is_read_as_float_too_is_kept() -> None:
    graph, formats = legal("llama2", {"layers.0.self_attn.q_proj": BY_ROW, "layers.1.self_attn": BY_ROW})
    fused = fuse(graph, formats, ["fuse_norm_quantize"])
    verify_fused(fused, formats)
    assert names(fused).count("NormQuantize") == 1
    assert names(fused).count("RmsNorm") == 4


def test_a_norm_is_quantized_once_for_each_kind() -> None:
    graph, formats = legal("llama2", {"q_proj": BY_GROUP, "k_proj": BY_ROW, "v_proj": BY_ROW})
    fused = fuse(graph, formats, ["fuse_norm_quantize"])
    groups = [s.operation.group for s in fused if isinstance(s.operation, NormQuantize)]
    assert groups == [32, None] * 2


def test_the_last_layer_works_on_selected_rows_after_its_attention() -> None:
    graph, formats = legal("llama2")
    hoisted = fuse(graph, formats, ["hoist_select"])
    last = max(i for i, s in enumerate(hoisted) if isinstance(s.operation, PackedAttention))
    after = hoisted.statements[last + 1 :]
    assert [s.operation.name for s in after].count("Select") == 2
    assert all(s.value.rows == "selected" for s in after)
    assert all(s.value.rows == "tokens" for s in hoisted.statements[: last + 1])


def test_an_unknown_fusion_is_refused() -> None:
    graph, formats = legal()
    with pytest.raises(ParameterError, match="fusion = 'fuse_all': must be one of hoist_select"):
        fuse(graph, formats, ["fuse_all"])


def test_rows_are_not_selected_before_an_op_that_may_need_the_others() -> None:
    graph = recorded(odd_model())
    formats = formats_of(graph)
    hoisted = fuse(legalize(graph, formats), formats, ["hoist_select"])
    odd = next(s for s in hoisted if isinstance(s.operation, Unknown))
    assert odd.value.rows == "tokens"
    assert hoisted.by_number()[odd.operation.inputs[0]].value.rows == "tokens"
    assert hoisted.output("logits").value == graph.output("logits").value
    verify_graph(hoisted)
