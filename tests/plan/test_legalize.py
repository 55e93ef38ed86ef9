from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.ops.graph import Graph
from honed.ops.record import Recorder
from honed.ops.values import AttentionSpec, Rotary, Weight
from honed.plan.legalize import legalize
from honed.plan.operations import Copy, PackedAttention, Quantize
from honed.plan.verify import verify_fused
from plan_graphs import BY_GROUP, BY_ROW, DENSE, formats_of, legal, names, recorded
from tiny_models import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_becomes_executable(family: str) -> None:
    graph, formats = legal(family)
    verify_fused(graph, formats)
    assert not {"Linear", "Rope", "Attention", "Gated"} & set(names(graph))


def test_attention_takes_its_norms_rotation_and_window_along() -> None:
    graph, _ = legal("qwen3")
    packed = next(s.operation for s in graph if isinstance(s.operation, PackedAttention))
    assert packed.q_norm == Weight("model.layers.0.self_attn.q_norm.weight", (20,))
    assert packed.k_norm == Weight("model.layers.0.self_attn.k_norm.weight", (20,))
    assert (packed.heads, packed.kv_heads, packed.eps) == (4, 2, 1e-6)
    before = [s.operation.spec.before for s in legal("mistral")[0] if isinstance(s.operation, PackedAttention)]
    assert before == [6, 6]


def test_one_input_is_quantized_once_for_each_kind_asked() -> None:
    chosen = {"q_proj": BY_ROW, "k_proj": BY_ROW, "v_proj": BY_GROUP, "layers.0.mlp.gate": BY_ROW}
    graph, formats = legal("llama2", chosen)
    verify_fused(graph, formats)
    groups = [s.operation.group for s in graph if isinstance(s.operation, Quantize)]
    assert groups == [None, 32, None, None, 32]


def attention(q_rotary: Rotary | None, k_rotary: Rotary | None) -> Graph:
    """v is the embedding itself."""
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    q = recorder.linear(x, Weight("q", (8, 8)))
    k = recorder.linear(x, Weight("k", (8, 8)))
    q, k = (recorder.rope(y, rotary, 4) if rotary else y for y, rotary in ((q, q_rotary), (k, k_rotary)))
    mixed = recorder.attention(q, k, x, AttentionSpec(4, 1.0), cache=0)
    return recorder.graph({"logits": recorder.linear(recorder.select(mixed), Weight("head", (10, 8)))})


def test_attention_that_has_no_op_is_refused() -> None:
    for q_rotary in (None, Rotary((1.0, 0.1))):
        graph = attention(q_rotary, Rotary((1.0, 0.5)))
        with pytest.raises(PlanError, match="one rotary"):
            legalize(graph, formats_of(graph))


def test_attention_may_come_without_rotation() -> None:
    graph = attention(None, None)
    legal = legalize(graph, formats_of(graph))
    verify_fused(legal, formats_of(graph))
    assert next(legal.operations(PackedAttention)).rotary is None


def test_what_no_projection_computes_into_columns_is_copied_there() -> None:
    graph = attention(Rotary((1.0, 0.5)), Rotary((1.0, 0.5)))
    formats = formats_of(graph)
    legal = legalize(graph, formats)
    verify_fused(legal, formats)
    assert names(legal) == [
        "Embedding", "Matmul", "Matmul", "Copy", "Concat", "PackedAttention", "Select", "Matmul"
    ]  # fmt: skip
    assert next(legal.operations(Copy)).inputs == (0,)


def test_a_norm_of_whole_rows_stands_before_the_columns() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    q, k, v = (recorder.linear(x, Weight(name, (8, 8))) for name in "qkv")
    q, k = (recorder.rms_norm(y, Weight(name, (8,)), 1e-6) for y, name in ((q, "q_norm"), (k, "k_norm")))
    q, k = (recorder.rope(y, Rotary((1.0, 0.5)), 4) for y in (q, k))
    mixed = recorder.attention(q, k, v, AttentionSpec(4, 0.5), cache=0)
    graph = recorder.graph({"logits": recorder.linear(recorder.select(mixed), Weight("table", (10, 8)))})
    formats = formats_of(graph)
    legal = legalize(graph, formats)
    verify_fused(legal, formats)
    assert names(legal).count("Copy") == names(legal).count("RmsNorm") == 2
    assert next(legal.operations(PackedAttention)).q_norm is None


def test_only_attention_over_a_cache_stays_where_nothing_reads_it() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    recorder.linear(x, Weight("unused", (4, 8)))
    q = recorder.rope(x, Rotary((1.0,)), 8)
    for cache in (0, None):
        recorder.attention(q, q, x, AttentionSpec(8, 1.0), cache=cache)
    graph = recorder.graph({"rows": recorder.select(x)}).pruned()
    assert names(graph) == ["Embedding", "Rope", "Attention", "Select"]


def test_formats_are_asked_for_by_name() -> None:
    graph = recorded()
    assert set(formats_of(graph).values()) == {DENSE}
    with pytest.raises(KeyError, match="q_proj"):
        legalize(graph, {})
