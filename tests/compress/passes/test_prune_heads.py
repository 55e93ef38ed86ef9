"""Pruned heads: the smaller model gives what the whole one gives without them, in families whose configs say it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.observe import observe
from honed.compress.pipeline import run_recipe
from honed.compress.prunable import find_heads
from honed.compress.recipe import read_recipe
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import HonedError, UnsupportedError
from pruned_models import CONFIGS, WINDOWS, assert_same, random_state, results

FILLING = ("gpt2", "gpt_neox", "opt", "starcoder2", "bert", "distilbert", "modernbert", "roberta", "xlm-roberta")
TIED = ("olmo2", "olmoe")
PRUNED = {
    name: {**config, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8, "rope_parameters": None}
    if config["num_key_value_heads"] == 1
    else config
    for name, config in CONFIGS.items()
    if name.rsplit("-", 1)[0] not in (*FILLING, *TIED)
}
OUT = "model.layers.{}.self_attn.o_proj.weight"


def pruned(state: ModelState, **settings: Any) -> ModelState:
    recipe = read_recipe({"passes": [{"pass": "prune_heads", **settings}]})
    return run_recipe(state, recipe, threads=1, calibration=WINDOWS).state


def kept_of(before: ModelState, after: ModelState, place: int) -> np.ndarray:
    """Which groups of an attention are left, told from the rows of its keys, which nothing moves."""
    units = find_heads(before.model)[place].units
    assert units is not None
    (name,) = (name for name in units.rows if name.endswith("k_proj.weight"))
    whole, rows = (state.weights[name].decode() for state in (before, after))
    run = units.rows[name]
    own = rows.reshape(-1, run, rows.shape[1])
    of_group = whole.reshape(units.count, *own.shape[1:])
    return np.array([int(np.flatnonzero((of_group == one).all((1, 2)))[0]) for one in own])


def without(state: ModelState, kept: list[np.ndarray]) -> dict[str, Encoded]:
    """The weights of the whole model with zero columns in place of the other groups."""
    weights = dict(state.weights)
    for heads, own in zip(find_heads(state.model), kept, strict=True):
        units = heads.units
        assert units is not None
        values = weights[units.consumer.name].decode().copy()
        values.reshape(len(values), units.count, -1)[:, np.setdiff1d(np.arange(units.count), own)] = 0
        weights[units.consumer.name] = Dense(values, "float32")
    return weights


@pytest.mark.parametrize("name", PRUNED)
def test_the_smaller_model_gives_what_the_whole_one_gives_without_them(name: str) -> None:
    before = random_state(PRUNED[name])
    after = pruned(before, share=0.5, score="activation", repair=False)
    groups, heads = before.config["num_key_value_heads"], before.config["num_attention_heads"]
    assert (after.config["num_key_value_heads"], after.config["num_attention_heads"]) == (groups // 2, heads // 2)
    assert {key: weight.shape for key, weight in after.weights.items()} == {
        key: weight.shape for key, weight in after.model.weights().items()
    }
    kept = [kept_of(before, after, place) for place in range(len(find_heads(after.model)))]
    assert_same(results(after), results(before, without(before, kept)))


def test_by_hand_those_go_that_add_least_to_the_outputs() -> None:
    config = {**CONFIGS["qwen2-0"], "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8}
    before = random_state(config, seed=3)
    gram = observe(before.model, before.weights, WINDOWS, {"gram"}, threads=1).gram[OUT.format(0)]
    weight = before.weights[OUT.format(0)].decode().astype(np.float64)
    energies = []
    for group in range(4):
        own = slice(16 * group, 16 * group + 16)  # two heads of eight
        energies.append(float(np.trace(weight[:, own] @ gram[own, own] @ weight[:, own].T)))
    after = pruned(before, groups=3, score="activation", repair=False)
    assert set(kept_of(before, after, 0)) == {0, 1, 2, 3} - {int(np.argmin(energies))}
    assert after.notes[-1] == "3 of 4 groups of 2 heads are left in each of 2 layers; " + (
        "transformers refuses some families (Llama, Gemma) where 64 is no multiple of 6 heads"
    )


@pytest.mark.parametrize("score", ["reconstruction", "activation", "magnitude"])
def test_making_up_for_them_has_less_error_on_what_enters(score: str) -> None:
    config = {**CONFIGS["qwen3-0"], "num_attention_heads": 8, "num_key_value_heads": 4}
    before = random_state(config, seed=6)
    after = pruned(before, groups=2, score=score)
    gram = observe(before.model, before.weights, WINDOWS, {"gram"}, threads=1).gram[OUT.format(0)]
    own = (kept_of(before, after, 0)[:, None] * 32 + np.arange(32)).ravel()
    whole = before.weights[OUT.format(0)].decode().astype(np.float64)
    repaired, plain = np.zeros_like(whole), np.zeros_like(whole)
    repaired[:, own], plain[:, own] = after.weights[OUT.format(0)].decode(), whole[:, own]
    errors = [float(np.trace((whole - values) @ gram @ (whole - values).T)) for values in (repaired, plain)]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("kind", FILLING)
def test_families_whose_config_cannot_say_it_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"prune_heads: heads of a model of the family {kind} fill a row"):
        pruned(random_state(CONFIGS[f"{kind}-0"]), share=0.5)


@pytest.mark.parametrize("kind", TIED)
def test_heads_that_are_normalized_together_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"of this {kind} are tied to each other: .*q_norm.weight normalizes"):
        pruned(random_state(CONFIGS[f"{kind}-0"]), share=0.5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, r"needs groups, how many stay, or share, how many go"),
        ({"groups": 1, "share": 0.5}, r"needs groups, how many stay, or share, how many go"),
        ({"groups": 2}, r"prune_heads.groups = '?2'?: leaves all of 2 groups of heads"),
        ({"share": 0.9}, r"prune_heads.share = '?0.9'?: leaves none of 2 groups of heads"),
        ({"groups": 0}, r"passes\[0\].groups = 0"),
    ],
)
def test_settings_that_leave_nothing_or_all_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(HonedError, match=problem):
        pruned(random_state(CONFIGS["llama-0"]), **settings)
