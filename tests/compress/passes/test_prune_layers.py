"""Pruned layers: what is left goes from layer to layer as if the others were not there, in every family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.layers import find_layers, without_layers
from honed.compress.observe import Walk, observe
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.encodings.dense import Dense
from honed.errors import HonedError, UnsupportedError
from honed.models.recorded import main_graph
from honed.models.registry import family_of
from honed.ops.graph import Graph
from honed.ops.reference import GrowingStore, Step, run
from pruned_models import CONFIGS, WINDOWS, assert_same, random_state, results, rows_of_first, tensors_of

BY_PLACE = {"gpt2-1", "qwen2_moe-1", "qwen3_moe-1", "smollm3-1"}
"""Their configs count from the first layer on what kinds they are of."""


def pruned(state: ModelState, **settings: Any) -> ModelState:
    recipe = read_recipe({"passes": [{"pass": "prune_layers", **settings}]})
    return run_recipe(state, recipe, threads=1, calibration=WINDOWS).state


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - BY_PLACE))
def test_what_is_left_is_the_model_without_them(name: str) -> None:
    before = random_state(CONFIGS[name])
    family, graph = family_of(before.config), main_graph(before.model)
    layers = find_layers(graph, family.layer_prefix)
    removed = {0} if len(layers) == 2 else {1, len(layers) - 2}
    after = pruned(before, layers=sorted(removed))
    assert after.config[family.layers_field] == len(layers) - len(removed)
    assert {key: weight.shape for key, weight in after.weights.items()} == {
        key: weight.shape for key, weight in after.model.weights().items()
    }
    left = Graph(without_layers(graph, layers, removed), graph.outputs)
    last = layers[-1].leaving
    assert last in {one.number for one in left}  # so the outputs are read off the same value
    expected = run(left, Step(tensors_of(before), rows_of_first(), GrowingStore()))
    assert_same(results(after), expected)


@pytest.mark.parametrize("name", sorted(BY_PLACE))
def test_families_whose_layers_differ_by_place_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"means another model than this one with less in it|tied to something"):
        pruned(random_state(CONFIGS[name]), layers=[0])


def test_lists_of_the_config_keep_what_they_say_of_those_that_are_left() -> None:
    types = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    config = {**CONFIGS["gemma3_text-1"], "num_hidden_layers": 4, "layer_types": types}
    assert pruned(random_state(config), layers=[1]).config["layer_types"] == [types[0], *types[2:]]
    # A config that says it by places is told the kinds.
    counted = {**CONFIGS["gemma3_text-0"], "sliding_window_pattern": 3}
    found = pruned(random_state(counted), layers=[2]).config["layer_types"]
    assert found == ["sliding_attention"] * 4 + ["full_attention"]


def quiet(state: ModelState, layers: list[int]) -> ModelState:
    """The state with layers that add a thousandth of what they did."""
    weights = {
        name: Dense(weight.decode() * np.float32(0.001), "float32")
        if any(
            name.endswith(f"layers.{n}.{part}.weight") for n in layers for part in ("self_attn.o_proj", "mlp.down_proj")
        )
        else weight
        for name, weight in state.weights.items()
    }
    return ModelState(state.config, state.model, weights)


def test_those_go_that_change_what_goes_through_them_least() -> None:
    state = quiet(random_state({**CONFIGS["llama-0"], "num_hidden_layers": 6}), [2, 4, 5])
    after = pruned(state, count=2)  # the fifth is the last, and stays
    assert after.notes[-1] == "layers 2, 4 of 6 are left out"
    assert after.config["num_hidden_layers"] == 4
    assert pruned(state, share=0.34, last=0).notes[-1].startswith(("layers 2, 4", "layers 2, 5", "layers 4, 5"))
    kept = after.weights["model.layers.2.mlp.up_proj.weight"].decode()
    np.testing.assert_array_equal(kept, state.weights["model.layers.3.mlp.up_proj.weight"].decode())


@pytest.mark.parametrize("name", ["llama-0", "gpt_neox-0", "bert-0"])
def test_the_cosine_is_that_of_what_enters_and_leaves(name: str) -> None:
    config = {**CONFIGS[name], "num_hidden_layers": 4}
    state = random_state(config)
    layers = find_layers(main_graph(state.model), family_of(config).layer_prefix)
    found = observe(state.model, state.weights, WINDOWS, {"cosine"}, threads=1).cosine
    walk, rows = Walk(state.model, WINDOWS, threads=1), {}
    for block in walk.blocks:
        walk.through(block, state.weights)
        if walk.between is not None:
            rows[walk.between[0]] = walk.between[1].astype(np.float64)
    assert len(found) == 2 * len(rows) - 3
    for (entering, leaving), cosine in found.items():
        a, b = rows[entering], rows[leaving]
        expected = np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
        assert abs(cosine - expected) < 1e-9
    if name != "bert-0":  # where norms stand behind the sums, those are what is known
        assert {(layer.entering, layer.leaving) for layer in layers[1:-1]} <= found.keys()


@pytest.mark.parametrize("name", ["bert-0", "opt-1"])
def test_layers_with_norms_behind_them_are_told_apart_at_the_sums_before(name: str) -> None:
    state = random_state({**CONFIGS[name], "num_hidden_layers": 5})
    parts = ("attention.output.dense", "output.dense") if name == "bert-0" else ("self_attn.out_proj", "fc2")
    before = family_of(state.config).layer_prefix
    weights = dict(state.weights)
    for end in (f"{part}.{kind}" for part in parts for kind in ("weight", "bias")):
        weights[f"{before}2.{end}"] = Dense(weights[f"{before}2.{end}"].decode() * np.float32(0.001), "float32")
    assert pruned(replace(state, weights=weights), count=1).notes[-1] == "layers 2 of 5 are left out"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, r"needs one of count, how many go, share, and layers, which ones"),
        ({"count": 1, "share": 0.5}, r"needs one of count"),
        ({"layers": [1, 1]}, r"layers: \[1, 1\] names a layer twice"),
        ({"layers": [4]}, r"prune_layers.layers = 4: must be below 4, the number of layers"),
        ({"layers": [0, 1, 2, 3]}, r"leaves no layer"),
        ({"count": 3}, r"prune_layers.count = 3: 3 would go of 4; the first and the last 1 stay, so it must be 1 to 2"),
        ({"share": 0.01}, r"prune_layers.share = 0.01: no layer goes of 4"),
    ],
)
def test_settings_that_leave_nothing_or_all_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(HonedError, match=problem):
        pruned(random_state({**CONFIGS["llama-0"], "num_hidden_layers": 4}), **settings)
