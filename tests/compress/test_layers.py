"""Layers as they are read off graphs, and the statements that are left without some of them."""

from __future__ import annotations

import pytest

from honed.compress.layers import find_layers, layer_of, renumbered, without_layers
from honed.errors import UnsupportedError
from honed.models.recorded import main_graph
from honed.models.registry import family_of, read_any
from honed.ops.record import Recorder
from honed.ops.table import Attention, Embedding
from honed.ops.values import Weight
from pruned_models import CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_has_its_layers_one_behind_the_other(name: str) -> None:
    family, graph = family_of(CONFIGS[name]), main_graph(read_any(CONFIGS[name]))
    layers = find_layers(graph, family.layer_prefix)
    assert len(layers) == CONFIGS[name][family.layers_field]
    assert [layer.entering for layer in layers[1:]] == [layer.leaving for layer in layers[:-1]]
    for number, layer in enumerate(layers):
        weights = {weight.name for one in layer.statements for weight in one.operation.weights}
        assert {layer_of(weight, family.layer_prefix) for weight in weights} == {number}
        assert sum(isinstance(one.operation, Attention) for one in layer.statements) == 1
    inside = {one.number for layer in layers for one in layer.statements}
    outside = [one for one in graph if one.number not in inside]
    assert not any(
        layer_of(weight.name, family.layer_prefix) is not None for one in outside for weight in one.operation.weights
    )
    assert sum(isinstance(one.operation, Embedding) for one in outside) >= 1


def test_names_are_numbered_anew() -> None:
    assert layer_of("model.layers.12.mlp.up_proj.weight", "model.layers.") == 12
    assert layer_of("model.norm.weight", "model.layers.") is None
    called = renumbered("model.layers.", [0, 3, 12])
    assert called("model.layers.12.mlp.up_proj.weight") == "model.layers.2.mlp.up_proj.weight"
    assert called("model.norm.weight") == "model.norm.weight"


def test_what_enters_a_removed_layer_goes_on_to_the_next() -> None:
    graph = main_graph(read_any({**CONFIGS["llama-0"], "num_hidden_layers": 4}))
    layers = find_layers(graph, "model.layers.")
    left = without_layers(graph, layers, {1, 2})
    assert len(left) == len(graph.statements) - 2 * len(layers[1].statements)
    readers = [one for one in left if layers[0].leaving in one.operation.inputs]
    assert {weight.name for one in readers for weight in one.operation.weights} == {
        "model.layers.3.input_layernorm.weight"
    }
    assert [one.operation.cache for one in left if isinstance(one.operation, Attention)] == [0, 1]


def test_a_model_of_which_more_than_one_value_goes_on_is_refused() -> None:
    ops = Recorder()
    x = ops.embedding(Weight("table", (10, 8)))
    a, b = (ops.linear(x, Weight(f"layers.0.{name}", (8, 8))) for name in "ab")
    c, d = (ops.linear(y, Weight(f"layers.1.{name}", (8, 8))) for y, name in ((a, "c"), (b, "d")))
    graph = ops.graph({"first": c, "second": d})
    with pytest.raises(UnsupportedError, match=r"layers\.0: more than one value enters or leaves the layer"):
        find_layers(graph, "layers.")
