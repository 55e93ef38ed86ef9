"""Smoothing changes nothing before rounding, to the bit; in a recipe it is read lazily, and less is lost after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from honed.compress.base import ModelState
from honed.compress.junctions import find_junctions
from honed.compress.linears import HEAD
from honed.compress.needs import Statistic
from honed.compress.observe import observe
from honed.compress.passes.smooth import Scaled, smoothed
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.stored import StoredWeights
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import ParameterError
from honed.models.base import DecoderModel
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, run

WINDOWS = [[3, 4, 5, 6, 7, 8, 9, 10, 11, 25], [12, 3, 3, 14, 15, 16, 17, 18, 19, 20]]
MEAN_SQUARE: frozenset[Statistic] = frozenset({"mean_square"})


def config(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 64, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
        **changes,
    }  # fmt: skip


def random_weights(model: DecoderModel, seed: int) -> dict[str, Encoded]:
    random = np.random.default_rng(seed)
    weights: dict[str, Encoded] = {}
    for name, weight in model.weights().items():
        values = random.normal(size=weight.shape) * np.exp(random.normal(size=weight.shape[-1]))
        weights[name] = Dense(values.astype(np.float32), "float32")
    return weights


def logits(model: DecoderModel, weights: Mapping[str, Encoded]) -> torch.Tensor:
    tensors = {name: torch.from_numpy(weight.decode()) for name, weight in weights.items()}
    return run(recorded(model), Step(tensors, Rows.single(torch.tensor(WINDOWS[0])), GrowingStore()))["logits"]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_smoothed_dense_weights_give_the_same_logits_to_the_bit(kind: str, tied: bool) -> None:
    model = read_model(config(kind, tie_word_embeddings=tied))
    weights = random_weights(model, 1)
    statistics = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    changed = weights | smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    assert any(isinstance(weight, Scaled) for weight in changed.values())
    assert torch.equal(logits(model, weights), logits(model, changed))


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_smoothed_head_apart_gives_the_same_logits_to_the_bit(kind: str) -> None:
    model = read_model(config(kind))
    weights = random_weights(model, 4)
    table = "model.embed_tokens.weight"
    apart = {**weights, HEAD: weights[table]}
    statistics = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    changed = apart | smoothed(find_junctions(model, head_apart=True), apart, statistics, strength=0.5)
    assert changed[table] is weights[table]
    factors = changed[HEAD].decode() / weights[table].decode()
    assert len(np.unique(factors)) > 1
    tensors = {name: torch.from_numpy(weight.decode()) for name, weight in changed.items()}
    tensors[table], embedding = tensors.pop(HEAD), tensors[table]
    rows = Rows.single(torch.tensor(WINDOWS[0]))
    found = run(recorded(model), Step(tensors, rows, GrowingStore(), {table: embedding}))["logits"]
    assert torch.equal(found, logits(model, weights))


def test_outliers_move_into_the_weights() -> None:
    model = read_model(config("llama"))
    weights = random_weights(model, 2)
    name = "model.layers.0.input_layernorm.weight"
    gains = np.ones(32, np.float32)
    gains[5] = 300.0
    weights[name] = Dense(gains, "float32")
    statistics = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    after = weights | smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    spread = observe(model, after, WINDOWS, MEAN_SQUARE, threads=1).rms("model.layers.0.self_attn.q_proj.weight")
    before = statistics.rms("model.layers.0.self_attn.q_proj.weight")
    assert spread.max() / np.median(spread) < 0.25 * before.max() / np.median(before)


def test_dead_features_keep_a_factor_of_one() -> None:
    model = read_model(config("llama"))
    weights = random_weights(model, 3)
    name = "model.layers.0.input_layernorm.weight"
    gains = weights[name].decode().copy()
    gains[7] = 0.0
    weights[name] = Dense(gains, "float32")
    statistics = observe(model, weights, WINDOWS, MEAN_SQUARE, threads=1)
    after = weights | smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    assert all(np.isfinite(weight.decode()).all() for weight in after.values())
    assert after[name].decode()[7] == 0.0


def test_rows_of_a_scaled_weight_are_rows_of_the_whole() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns, rows = np.array([1, 2, 4], np.float32), np.array([1, 2, 4, 8], np.float32)
    scaled = Scaled(Dense(values, "float32"), columns, rows)
    np.testing.assert_array_equal(scaled.decode(slice(1, 3)), scaled.decode()[1:3])
    np.testing.assert_array_equal(scaled.decode(), values * columns / rows[:, None])


RECIPE: dict[str, Any] = {
    "passes": [
        {"pass": "smooth"},
        {"pass": "round_to_nearest", "weights": {"bits": 8, "group": None}},
    ]
}


class Source:
    """A random model whose norms have a few very large features, as trained ones do."""

    def __init__(self, *, tied: bool) -> None:
        self.model: DecoderModel = read_model(
            {
                "model_type": "llama",
                "vocab_size": 40,
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": 64,
                "rms_norm_eps": 1e-5,
                "rope_theta": 10000.0,
                "hidden_act": "silu",
                "tie_word_embeddings": tied,
            }
        )
        random = np.random.default_rng(3)
        self.values: dict[str, NDArray[np.float32]] = {}
        for name, weight in self.model.weights().items():
            values: NDArray[np.float32] = (random.normal(size=weight.shape) / 8).astype(np.float32)
            if name.endswith("norm.weight"):
                values = (np.abs(values) + 1).astype(np.float32)
                values[::16] *= 40
            self.values[name] = values
        self.read: list[str] = []

    def __call__(self, name: str) -> Encoded:
        return _Counted(self, name)

    def state(self, *, head_apart: bool = True) -> ModelState:
        return ModelState({}, self.model, SourceWeights(self.model, self, head_apart=head_apart))

    def compressed(self, recipe: dict[str, Any] = RECIPE) -> Compressed:
        return run_recipe(self.state(), read_recipe(recipe), threads=1, calibration=WINDOWS)

    def smoothed(self, recipe: dict[str, Any] = RECIPE) -> ModelState:
        """Before the rounding."""
        return self.compressed(recipe).states[-2]


class _Counted:
    def __init__(self, source: Source, name: str) -> None:
        self.source, self.name = source, name
        self.shape: tuple[int, ...] = source.values[name].shape
        self.nbytes = source.values[name].nbytes
        self.kind = "counted"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        self.source.read.append(self.name)
        return self.source.values[self.name][rows]


@pytest.mark.parametrize("tied", [True, False])
def test_nothing_is_read_before_the_first_weight(tied: bool) -> None:
    source = Source(tied=tied)
    state = source.compressed().state
    assert source.read == []
    assert set(state.weights) == set(source.model.weights()) | {HEAD}
    assert state.weights["model.layers.0.mlp.up_proj.weight"].kind == "int8"
    after = len(source.read)
    assert state.weights["model.layers.1.mlp.up_proj.weight"].kind == "int8"
    assert len(source.read) - after < 10  # the calibration ran once


@pytest.mark.parametrize("tied", [True, False])
def test_a_norm_and_what_it_feeds_change_together(tied: bool) -> None:
    source = Source(tied=tied)
    before = source.smoothed().weights
    norm = before["model.layers.0.input_layernorm.weight"].decode()
    factors = source.values["model.layers.0.input_layernorm.weight"] / norm
    assert set(np.log2(factors) % 1) == {0.0}
    assert factors.max() > 1
    for layer in "qkv":
        name = f"model.layers.0.self_attn.{layer}_proj.weight"
        assert np.array_equal(before[name].decode(), source.values[name] * factors)
    name = "model.embed_tokens.weight"
    assert np.array_equal(before[name].decode(), source.values[name])
    # The final norm changes with the head that is encoded, not with the table that is looked up in.
    final = source.values["model.norm.weight"] / before["model.norm.weight"].decode()
    assert np.array_equal(before[HEAD].decode(), source.values[name if tied else HEAD] * final)
    assert (final != 1).any()
    assert source.smoothed().tied_head.along == ({"model.norm.weight"} if tied else set())


def changed(source: Source, junctions: str) -> set[str]:
    """The weights that a smoothing of these junctions changes."""
    recipe = {"passes": [{"pass": "smooth", "junctions": junctions}, RECIPE["passes"][1]]}
    before = source.smoothed(recipe).weights
    origin = {name: name if name in source.values else "model.embed_tokens.weight" for name in before}
    return {name for name in before if not np.array_equal(before[name].decode(), source.values[origin[name]])}


@pytest.mark.parametrize("tied", [True, False])
def test_junctions_of_the_head_and_of_the_layers_are_smoothed_apart(tied: bool) -> None:
    source = Source(tied=tied)
    head, layers = changed(source, "head"), changed(source, "layers")
    assert head == {"model.norm.weight", HEAD}
    assert not head & layers
    assert head | layers == changed(source, "all")


def test_head_and_layers_in_two_passes_are_the_same_as_in_one() -> None:
    source = Source(tied=True)
    parts = [{"pass": "smooth", "junctions": junctions} for junctions in ("layers", "head")]
    apart = source.smoothed({"passes": [*parts, RECIPE["passes"][1]]})
    together = source.smoothed()
    assert apart.tied_head.along == together.tied_head.along
    source.read.clear()
    apart.weights[HEAD].decode()
    assert source.read.count("model.layers.0.self_attn.o_proj.weight") == 1  # no factor: read to calibrate alone
    for name, weight in apart.weights.items():
        np.testing.assert_array_equal(weight.decode(), together.weights[name].decode())
    first, second = (state.tied_head.product() for state in (apart, together))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("junctions", ["all", "layers", "head"])
def test_inputs_behind_a_pass_are_what_measuring_them_again_would_find(tied: bool, junctions: str) -> None:
    source = Source(tied=tied)
    recipe = {"passes": [{"pass": "smooth", "junctions": junctions}, RECIPE["passes"][1]]}
    state = source.smoothed(recipe)
    assert state.inputs is not None
    found = state.inputs().mean_square
    measured = observe(source.model, state.weights, WINDOWS, MEAN_SQUARE, threads=1).mean_square
    assert set(found) == set(measured)
    for name, expected in measured.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    dense = {name: Dense(values, "float32") for name, values in source.values.items()}
    before = observe(source.model, dense, WINDOWS, MEAN_SQUARE, threads=1).mean_square
    assert any((found[name] != before[name]).any() for name in found)


def test_a_tied_head_that_stays_dense_leaves_the_final_norm_alone() -> None:
    source = Source(tied=True)
    state = run_recipe(source.state(head_apart=False), read_recipe(RECIPE), threads=1, calibration=WINDOWS).states[1]
    assert state.tied_head.along == set()
    assert state.tied_head.product() is None
    assert HEAD not in state.weights
    for name in ("model.norm.weight", "model.embed_tokens.weight"):
        assert np.array_equal(state.weights[name].decode(), source.values[name])


def test_the_smoothed_norm_is_stored_dense() -> None:
    source = Source(tied=True)
    compressed = source.compressed()
    name = "model.layers.1.post_attention_layernorm.weight"
    stored = StoredWeights(compressed).weight(name)
    assert isinstance(stored, Dense)
    assert np.array_equal(stored.decode(), compressed.in_full(name).decode())
    assert not np.array_equal(stored.decode(), source.values[name])


def test_tokens_are_required() -> None:
    source = Source(tied=True)
    with pytest.raises(ParameterError, match="the pass smooth needs tokens"):
        run_recipe(source.state(), read_recipe(RECIPE), threads=1)
