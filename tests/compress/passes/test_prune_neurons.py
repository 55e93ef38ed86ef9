"""Pruned neurons: the smaller model gives what the whole one gives without them, in every family that has some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.observe import observe
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.prunable import find_neurons
from honed.compress.recipe import read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.models.registry import FAMILIES
from pruned_models import CONFIGS, WINDOWS, assert_same, random_state, results

EXPERTS = {kind for kind in CONFIGS if kind.startswith(("mixtral", "qwen2_moe", "olmoe", "granitemoe", "gpt_oss"))}
EXPERTS |= {"qwen3_moe-0"}
DOWN = "model.layers.{}.mlp.down_proj.weight"


def pruned(state: ModelState, calibration: Any = WINDOWS, **settings: Any) -> Compressed:
    recipe = read_recipe({"passes": [{"pass": "prune_neurons", "multiple": 8, **settings}]})
    return run_recipe(state, recipe, threads=1, calibration=calibration)


def kept_of(before: ModelState, after: ModelState, place: int) -> np.ndarray:
    """Which neurons of an MLP are left, told from the rows of its first matrix, which nothing moves."""
    (name, *_) = find_neurons(before.model)[place].rows
    whole, rows = before.weights[name].decode(), after.weights[name].decode()
    return np.array([int(np.flatnonzero((whole == row).all(axis=1))[0]) for row in rows])


def without(state: ModelState, kept: list[np.ndarray]) -> dict[str, Encoded]:
    """The weights of the whole model with zero columns in place of the other neurons."""
    weights = dict(state.weights)
    for units, own in zip(find_neurons(state.model), kept, strict=True):
        values = weights[units.consumer.name].decode().copy()
        values[:, np.setdiff1d(np.arange(units.count), own)] = 0
        weights[units.consumer.name] = Dense(values, "float32")
    return weights


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - EXPERTS))
def test_the_smaller_model_gives_what_the_whole_one_gives_without_them(name: str) -> None:
    before = random_state(CONFIGS[name])
    after = pruned(before, share=0.3, score="activation", repair=False).state
    width = after.config[FAMILIES[CONFIGS[name]["model_type"]].sizes.inner]
    units = find_neurons(after.model)
    assert {one.count for one in units} == {width}
    assert width % 8 == 0 and 0.6 < width / find_neurons(before.model)[0].count < 0.75
    assert {key: weight.shape for key, weight in after.weights.items()} == {
        key: weight.shape for key, weight in after.model.weights().items()
    }
    kept = [kept_of(before, after, place) for place in range(len(units))]
    assert all((np.diff(own) > 0).all() for own in kept)
    assert_same(results(after), results(before, without(before, kept)))


def test_by_hand_those_go_that_add_least() -> None:
    """Of a neuron counts the mean square of what it gives times the squares of its column."""
    before = random_state(CONFIGS["llama-0"], seed=4)
    squares = observe(before.model, before.weights, WINDOWS, {"mean_square"}, threads=1).mean_square
    after = pruned(before, share=0.5, score="activation", repair=False).state
    name = DOWN.format(0)  # what enters the first MLP is the same after as before
    counts = squares[name] * np.square(before.weights[name].decode()).sum(axis=0)
    np.testing.assert_array_equal(kept_of(before, after, 0), np.sort(np.argsort(-counts)[:48]))


def test_by_hand_those_go_whose_weights_are_least() -> None:
    before = random_state(CONFIGS["opt-0"], seed=5)
    after = pruned(before, calibration=(), share=0.5, score="magnitude", repair=False).state
    inner, bias, outer = (
        before.weights[f"model.decoder.layers.1.{name}"].decode() for name in ("fc1.weight", "fc1.bias", "fc2.weight")
    )
    counts = np.square(inner).sum(axis=1) + np.square(bias) + np.square(outer).sum(axis=0)
    np.testing.assert_array_equal(kept_of(before, after, 1), np.sort(np.argsort(-counts)[:48]))


@pytest.mark.parametrize("score", ["reconstruction", "activation", "magnitude"])
@pytest.mark.parametrize("name", ["llama-1", "gpt2-1", "bert-0"])
def test_making_up_for_them_has_less_error_in_every_matrix(name: str, score: str) -> None:
    """On the inputs that each was calibrated on: those of the model whose blocks before are pruned already."""
    before = random_state(CONFIGS[name], seed=6)
    after = pruned(before, share=0.4, score=score).state
    units = find_neurons(before.model)
    kept = [kept_of(before, after, place) for place in range(len(units))]
    weights = dict(before.weights)
    for one, own in zip(units, kept, strict=True):
        reader = one.consumer.name
        gram = observe(before.model, weights, WINDOWS, {"gram"}, threads=1).gram[reader]
        whole = before.weights[reader].decode().astype(np.float64)
        repaired, plain = np.zeros_like(whole), np.zeros_like(whole)
        repaired[:, own], plain[:, own] = after.weights[reader].decode(), whole[:, own]
        errors = [float(np.trace((whole - values) @ gram @ (whole - values).T)) for values in (repaired, plain)]
        assert errors[0] < 0.97 * errors[1]
        weights[reader] = Dense(repaired.astype(np.float32), "float32")
    assert_same(results(after), results(before, weights))


class Counted(Mapping[str, Encoded]):
    """Weights that remember which of them were looked up."""

    def __init__(self, weights: Mapping[str, Encoded]) -> None:
        self.weights, self.read = weights, list[str]()

    def __getitem__(self, name: str) -> Encoded:
        self.read.append(name)
        return self.weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)


def test_nothing_is_read_before_a_weight_is_asked_for() -> None:
    before = random_state(CONFIGS["llama-0"])
    counted = Counted(before.weights)
    after = pruned(ModelState(before.config, before.model, counted)).state
    assert counted.read == []
    assert after.weights["model.layers.0.mlp.up_proj.weight"].shape == (72, 64)
    assert after.weights["model.layers.0.mlp.up_proj.weight"].decode().shape == (72, 64)
    assert not any(".layers.1." in name for name in counted.read)


def test_weights_come_in_any_order() -> None:
    before = random_state(CONFIGS["llama-0"])
    forwards = pruned(before).state.weights
    backwards = pruned(before).state.weights
    found = {name: backwards[name].decode() for name in reversed(list(backwards))}
    for name, weight in forwards.items():
        np.testing.assert_array_equal(weight.decode(), found[name])


def test_passes_follow_that_encode_and_a_head_apart_goes_along() -> None:
    before = random_state({**CONFIGS["llama-1"], "mlp_bias": False}, head_apart=True)
    passes = [
        {"pass": "smooth"},
        {"pass": "prune_neurons", "share": 0.3},
        {"pass": "prune_heads", "groups": 1},
        {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}},
    ]
    state = run_recipe(before, read_recipe({"passes": passes}), threads=1, calibration=WINDOWS).state
    assert state.weights["lm_head.weight"].kind == "int8"
    assert state.weights[DOWN.format(1)].shape == (64, 64) == state.model.weights()[DOWN.format(1)].shape
    assert state.config["intermediate_size"] == 64 and state.config["num_key_value_heads"] == 1


@pytest.mark.parametrize("name", sorted(EXPERTS))
def test_experts_keep_theirs(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"prune_neurons: (no MLP of this|the MLPs of this)|tied to something"):
        pruned(random_state(CONFIGS[name]), share=0.5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"share": 0.01}, r"prune_neurons.share = 0.01: leaves all of 96 neurons, in multiples of 8"),
        ({"share": 0.98}, r"prune_neurons.share = 0.98: leaves none of 96 neurons"),
        ({"share": 1.0}, r"passes\[0\].share = 1.0"),
        ({"repair": False}, r"score: reconstruction needs repair: true"),
        ({"score": "taylor"}, r"passes\[0\].score = 'taylor'"),
    ],
)
def test_settings_that_leave_nothing_or_all_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(HonedError, match=problem):
        pruned(random_state(CONFIGS["llama-0"]), **settings)


def test_what_needs_no_data_takes_none_and_what_does_says_so() -> None:
    state = random_state(CONFIGS["llama-0"])
    with pytest.raises(ParameterError, match=r"the pass prune_neurons needs tokens"):
        pruned(state, calibration=())
    assert pruned(state, calibration=(), score="magnitude", repair=False).state.config["intermediate_size"] == 72
    assert isinstance(state.weights, SourceWeights)
