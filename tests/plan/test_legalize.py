from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.ops.table import Rotary, Weight
from honed.plan import graph as g
from honed.plan.legalize import legalize, prune
from honed.plan.record import Recorder
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
    packed = next(s.operation for s in graph if isinstance(s.operation, g.PackedAttention))
    assert packed.q_norm == Weight("model.layers.0.self_attn.q_norm.weight", (20,))
    assert packed.k_norm == Weight("model.layers.0.self_attn.k_norm.weight", (20,))
    assert (packed.heads, packed.kv_heads, packed.eps) == (4, 2, 1e-6)
    windows = [s.operation.window for s in legal("mistral")[0] if isinstance(s.operation, g.PackedAttention)]
    assert windows == [7, 7]


def test_one_input_is_quantized_once_for_each_kind_asked() -> None:
    chosen = {"q_proj": BY_ROW, "k_proj": BY_ROW, "v_proj": BY_GROUP, "layers.0.mlp.gate": BY_ROW}
    graph, formats = legal("llama2", chosen)
    verify_fused(graph, formats)
    groups = [s.operation.group for s in graph if isinstance(s.operation, g.Quantize)]
    assert groups == [None, 32, None, None, 32]


def attention(recorder: Recorder, q_rotary: Rotary | None, k_rotary: Rotary) -> None:
    x = recorder.embedding(Weight("table", (10, 8)))
    q = recorder.linear(x, Weight("q", (8, 8)))
    k = recorder.linear(x, Weight("k", (8, 8)))
    q = recorder.rope(q, q_rotary, 4) if q_rotary else q
    mixed = recorder.attention(q, recorder.rope(k, k_rotary, 4), x, layer=0, head_dim=4, scale=1.0)
    recorder.linear(recorder.select(mixed), Weight("head", (10, 8)))


def test_attention_that_has_no_op_is_refused() -> None:
    for q_rotary, problem in ((None, "must come from Rope"), (Rotary((1.0, 0.1)), "one rotary")):
        recorder = Recorder()
        attention(recorder, q_rotary, Rotary((1.0, 0.5)))
        graph = recorder.graph()
        with pytest.raises(PlanError, match=problem):
            legalize(graph, formats_of(graph))


def test_values_computed_in_place_must_come_from_projections() -> None:
    recorder = Recorder()
    attention(recorder, Rotary((1.0, 0.5)), Rotary((1.0, 0.5)))  # v is the embedding itself
    graph = recorder.graph()
    formats = formats_of(graph)
    with pytest.raises(PlanError, match="cannot be computed into columns of it: Embedding"):
        verify_fused(legalize(graph, formats), formats)


def test_prune_drops_what_nothing_reads_but_not_attention() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    recorder.linear(x, Weight("unused", (4, 8)))
    q = recorder.rope(x, Rotary((1.0,)), 8)
    recorder.attention(q, q, x, layer=0, head_dim=8, scale=1.0)
    recorder.select(x)
    assert names(prune(recorder.graph())) == ["Embedding", "Rope", "Attention", "Select"]


def test_formats_are_asked_for_by_name() -> None:
    graph = recorded()
    assert set(formats_of(graph).values()) == {DENSE}
    with pytest.raises(KeyError, match="q_proj"):
        legalize(graph, {})
