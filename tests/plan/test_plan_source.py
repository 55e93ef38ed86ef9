from __future__ import annotations

from dataclasses import replace

import pytest

from honed.encodings.int8 import Int8Scheme
from honed.encodings.int8_encoder import encode_int8
from honed.errors import PlanError
from honed.plan.formats import DenseFormat, DensePolicy
from honed.plan.source import PlanSource
from plan_graphs import recorded
from tiny_models import NORM, TABLE, MemoryCheckpoint, golden


def test_the_head_may_have_an_encoding_of_its_own() -> None:
    source = golden("smollm2").checkpoint
    name = "model.embed_tokens.weight"
    head = encode_int8(source.weight(name), name=name)
    weights = {other: source.weight(other) for other in source.names}
    apart = PlanSource(MemoryCheckpoint(source.config, weights, head), recorded("smollm2"))
    assert apart.matrix(name) is head
    assert apart.weight(name) is weights[name]
    assert apart.separate_tables == (name,)
    assert apart.formats("auto")[name] == Int8Scheme(None, None)
    plain = PlanSource(source, recorded("smollm2"))
    assert plain.separate_tables == ()
    assert plain.tied_tables(plain.formats("auto")) == frozenset()
    assert plain.formats("auto")[name] == DenseFormat("float32")


@pytest.mark.parametrize("policy", ["auto", "float32"])
def test_a_tied_table_is_looked_up_in_a_head_of_integers(policy: DensePolicy) -> None:
    tied = MemoryCheckpoint.tying(golden("smollm2").checkpoint, lambda name, weight: encode_int8(weight, name=name))
    source = PlanSource(tied, recorded("smollm2"))
    assert source.tied_tables(source.formats(policy)) == {TABLE}
    assert source.lookup_factors(TABLE).shape == (54,)
    # A head that runs dense has no panels that an op could look up in: the table is decoded, as any other.
    dense = MemoryCheckpoint.tying(golden("smollm2").checkpoint, lambda name, weight: weight)
    source = PlanSource(dense, recorded("smollm2"))
    assert source.tied_tables(source.formats(policy)) == frozenset()
    with pytest.raises(PlanError, match=r"model\.norm\.weight: is dense, and was planned as a tied table"):
        source.lookup_factors(NORM)


def test_a_graph_without_a_head_is_refused() -> None:
    graph = recorded()
    with pytest.raises(PlanError, match="RmsNorm gives the logits, must be a linear layer"):
        PlanSource(golden("llama2").checkpoint, replace(graph, outputs={"logits": graph.statements[-2].number}))


def test_a_graph_without_logits_has_no_head() -> None:
    graph = recorded("smollm2")
    source = PlanSource(golden("smollm2").checkpoint, replace(graph, outputs={"hidden": graph.statements[-2].number}))
    assert source.separate_tables == ()
