from __future__ import annotations

import pytest

from honed.encodings.int8_encoder import encode_int8
from honed.errors import PlanError
from honed.plan.formats import DenseFormat, Int8Format
from honed.plan.graph import Graph
from honed.plan.source import PlanSource
from plan_graphs import recorded
from tiny_models import MemoryCheckpoint, golden


def test_the_head_may_have_an_encoding_of_its_own() -> None:
    source = golden("smollm2").checkpoint
    name = "model.embed_tokens.weight"
    head = encode_int8(source.weight(name), name=name)
    weights = {other: source.weight(other) for other in source.names}
    apart = PlanSource(MemoryCheckpoint(source.config, weights, head), recorded("smollm2"))
    assert apart.matrix(name) is head
    assert apart.weight(name) is weights[name]
    assert apart.separate_tables == (name,)
    assert apart.formats("auto")[name] == Int8Format(None, None)
    plain = PlanSource(source, recorded("smollm2"))
    assert plain.separate_tables == ()
    assert plain.formats("auto")[name] == DenseFormat("float32")


def test_a_graph_without_a_head_is_refused() -> None:
    with pytest.raises(PlanError, match="must end in the linear layer"):
        PlanSource(golden("llama2").checkpoint, Graph(recorded().statements[:-1]))
