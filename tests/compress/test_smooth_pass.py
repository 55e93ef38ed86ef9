"""Smoothing in a recipe: read lazily, the same function before rounding, less error after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.calibrate import collect_inputs
from honed.compress.linears import HEAD
from honed.compress.pipeline import Pipeline, SourceWeights, compress_weights
from honed.compress.recipe import read_recipe
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import ParameterError
from honed.models.base import DecoderModel
from honed.models.registry import read_model

WINDOWS = [[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]
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

    def pipeline(self, recipe: dict[str, Any] = RECIPE) -> Pipeline:
        weights = SourceWeights(self.model, self)
        return compress_weights(self.model, weights, read_recipe(recipe), threads=1, calibration=WINDOWS)


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
    pipeline = source.pipeline()
    assert source.read == []
    assert set(pipeline.schemes) == set(source.model.weights()) | {HEAD}
    pipeline.weight("model.layers.0.mlp.up_proj.weight")
    after = len(source.read)
    pipeline.weight("model.layers.1.mlp.up_proj.weight")
    assert len(source.read) - after < 10  # the calibration ran once


@pytest.mark.parametrize("tied", [True, False])
def test_a_norm_and_what_it_feeds_change_together(tied: bool) -> None:
    source = Source(tied=tied)
    before = source.pipeline().before_last
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
    assert source.pipeline().with_head == ({"model.norm.weight"} if tied else set())


def changed(source: Source, junctions: str) -> set[str]:
    """The weights that a smoothing of these junctions changes."""
    recipe = {"passes": [{"pass": "smooth", "junctions": junctions}, RECIPE["passes"][1]]}
    before = source.pipeline(recipe).before_last
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
    apart = source.pipeline({"passes": [*parts, RECIPE["passes"][1]]})
    together = source.pipeline()
    assert apart.with_head == together.with_head
    source.read.clear()
    apart.weight(HEAD)
    assert source.read.count("model.layers.0.self_attn.o_proj.weight") == 1  # no factor: read to calibrate alone
    for name, weight in apart.before_last.items():
        np.testing.assert_array_equal(weight.decode(), together.before_last[name].decode())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("junctions", ["all", "layers", "head"])
def test_inputs_behind_a_pass_are_what_measuring_them_again_would_find(tied: bool, junctions: str) -> None:
    source = Source(tied=tied)
    recipe = {"passes": [{"pass": "smooth", "junctions": junctions}, RECIPE["passes"][1]]}
    pipeline = source.pipeline(recipe)
    inputs = pipeline.stages[0].inputs
    assert inputs is not None
    found = inputs().mean_square
    measured = collect_inputs(source.model, lambda name: pipeline.before_last[name].decode(), WINDOWS).mean_square
    assert set(found) == set(measured)
    for name, expected in measured.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    before = collect_inputs(source.model, source.values.__getitem__, WINDOWS).mean_square
    assert any((found[name] != before[name]).any() for name in found)


def test_a_tied_head_that_stays_dense_leaves_the_final_norm_alone() -> None:
    source = Source(tied=True)
    weights = SourceWeights(source.model, source, head_apart=False)
    pipeline = compress_weights(source.model, weights, read_recipe(RECIPE), threads=1, calibration=WINDOWS)
    assert pipeline.with_head == set()
    assert HEAD not in pipeline.schemes
    for name in ("model.norm.weight", "model.embed_tokens.weight"):
        assert np.array_equal(pipeline.before_last[name].decode(), source.values[name])


def test_the_smoothed_norm_is_stored_dense() -> None:
    source = Source(tied=True)
    pipeline = source.pipeline()
    name = "model.layers.1.post_attention_layernorm.weight"
    stored = pipeline.weight(name)
    assert isinstance(stored, Dense)
    assert np.array_equal(stored.decode(), pipeline.before_last[name].decode())
    assert not np.array_equal(stored.decode(), source.values[name])


def test_tokens_are_required() -> None:
    source = Source(tied=True)
    with pytest.raises(ParameterError, match="the pass smooth needs tokens"):
        compress_weights(source.model, SourceWeights(source.model, source), read_recipe(RECIPE), threads=1)
