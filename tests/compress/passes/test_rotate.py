"""A rotated model computes what it did, in every family whose stream may be turned; outliers are spread; what is
rounded behind it loses less."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import honed
from divisible_models import save_llama
from honed.checkpoints.base import Checkpoint
from honed.checkpoints.open import open_checkpoint
from honed.compress.base import ModelState
from honed.compress.linears import HEAD
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.stored import StoredWeights
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.scheme import DenseScheme, Int8Scheme
from honed.errors import ParameterError, UnsupportedError
from honed.models.base import Model
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Rows, Step, run
from tiny_models import golden, tiny_config

TABLE = "model.embed_tokens.weight"
ROUNDED: dict[str, Any] = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": None}}
TURNED = (
    "llama_biases", "smollm2", "mistral", "qwen2_sliding", "qwen3", "mixtral", "qwen2_moe_mixed", "granite", "gpt_oss",
    "phi3", "cohere", "gpt2", "gpt_neox_sequential", "starcoder2_variants",
)  # fmt: skip


def compressed(family: str, *passes: dict[str, Any], head_apart: bool = False) -> Compressed:
    checkpoint = golden(family).checkpoint
    model = read_model(checkpoint.config)
    source = SourceWeights(model, checkpoint.weight, head_apart=head_apart)
    windows = [[int(token) for token in golden(family).tokens]]
    recipe = read_recipe({"passes": list(passes)})
    return run_recipe(ModelState(checkpoint.config, model, source), recipe, threads=1, calibration=windows)


def rotated(family: str, **settings: Any) -> ModelState:
    return compressed(family, {"pass": "rotate", **settings}).state


def logits(model: Model, weights: Mapping[str, Encoded], tokens: NDArray[np.integer]) -> NDArray[np.float32]:
    tensors = {name: torch.from_numpy(weights[name].decode().copy()) for name in model.weights()}
    rows = Rows.single(torch.from_numpy(tokens))
    with torch.inference_mode():
        found: NDArray[np.float32] = run(recorded(model), Step(tensors, rows, GrowingStore()))["logits"].numpy()
    return found


@pytest.mark.parametrize("family", TURNED)
@pytest.mark.parametrize("matrix", ["hadamard", "orthogonal"])
def test_the_model_computes_what_it_did(family: str, matrix: str) -> None:
    state = rotated(family, matrix=matrix)
    assert golden(family).agrees(logits(state.model, state.weights, golden(family).tokens))
    source = golden(family).checkpoint
    matrices = [name for name in source.names if len(source.weight(name).shape) == 2 and "norm" not in name]
    assert matrices
    for name in matrices:
        same = np.array_equal(state.weights[name].decode(), source.weight(name).decode())
        inner = any(part in name for part in ("q_proj", "k_proj")) and not state.model.weights()[name].shape[1]
        assert not same or inner, name


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "glm4", "opt_350m", "smollm2"])
def test_values_alone_are_turned_where_the_stream_stays(family: str) -> None:
    state = rotated(family, residual=False)
    assert golden(family).agrees(logits(state.model, state.weights, golden(family).tokens))
    source = golden(family).checkpoint
    changed = {
        name.removesuffix(".weight").rsplit(".", 1)[-1]
        for name in state.weights
        if name.endswith(".weight") and not np.array_equal(state.weights[name].decode(), source.weight(name).decode())
    }
    assert changed in ({"v_proj", "o_proj"}, {"v_proj", "out_proj"})
    assert state.config is source.config
    assert state.notes == ()


@pytest.mark.parametrize("head_apart", [True, False])
def test_a_tied_head_comes_apart_with_the_norm_before_it(head_apart: bool) -> None:
    done = compressed("smollm2", {"pass": "rotate"}, head_apart=head_apart)
    state, source = done.state, golden("smollm2").checkpoint
    assert state.config == {**source.config, "tie_word_embeddings": False}
    assert state.model == read_model(state.config)
    assert set(state.weights) == set(state.model.weights())
    assert HEAD in state.weights
    table, head = (state.weights[name].decode().astype(float) for name in (TABLE, HEAD))
    gain, original = (source.weight(name).decode().astype(float) for name in ("model.norm.weight", TABLE))
    # Turning undoes itself in products: table . head is what it was, with the weight of the norm between them.
    np.testing.assert_allclose(table @ head.T, original @ (original * gain).T, atol=1e-5)
    assert set(state.weights["model.norm.weight"].decode()) == {1.0}
    assert len(state.notes) == 1
    assert "no longer tied to model.embed_tokens.weight" in state.notes[0]
    assert set(StoredWeights(done).schemes) == set(state.model.weights())


def test_a_head_that_was_smoothed_comes_apart_as_it_is() -> None:
    smooth = {"pass": "smooth", "junctions": "head"}
    done = compressed("smollm2", smooth, {"pass": "rotate"}, head_apart=True)
    assert done.states[1].tied_head.along
    assert not done.state.tied_head.along
    assert golden("smollm2").agrees(logits(done.state.model, done.state.weights, golden("smollm2").tokens))


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    first, again, other = (rotated("smollm2", seed=seed) for seed in (5, 5, 6))
    name = "model.layers.1.mlp.up_proj.weight"
    np.testing.assert_array_equal(first.weights[name].decode(), again.weights[name].decode())
    assert not np.array_equal(first.weights[name].decode(), other.weights[name].decode())


def test_an_outlier_is_spread_over_all_features() -> None:
    checkpoint = golden("qwen3").checkpoint
    model, name = read_model(checkpoint.config), "model.layers.0.mlp.up_proj.weight"

    def read(asked: str) -> Encoded:
        values = checkpoint.weight(asked).decode().copy()
        if asked == name:
            values[:, 7] *= 100
        return Dense(values, "float32")

    given = ModelState(checkpoint.config, model, SourceWeights(model, read))
    state = run_recipe(given, read_recipe({"passes": [{"pass": "rotate"}]}), threads=1).state
    before, after = (np.abs(weights[name].decode()) for weights in (given.weights, state.weights))
    spread = [(values.max(axis=1) / np.sqrt(np.mean(values**2, axis=1))).mean() for values in (before, after)]
    assert spread[0] > 6.5  # the root of 48 is all that there can be
    assert spread[1] < 2


def test_a_recipe_rounds_behind_it_what_it_made() -> None:
    done = compressed("smollm2", {"pass": "rotate"}, {"pass": "smooth"}, ROUNDED, head_apart=True)
    assert done.state.schemes[HEAD] == Int8Scheme(None)
    stored = StoredWeights(done)
    assert stored.tied_table is None
    assert stored.head == HEAD
    assert isinstance(stored.schemes[TABLE], DenseScheme)
    found = logits(done.state.model, {name: stored.weight(name) for name in stored.schemes}, golden("smollm2").tokens)
    expected = golden("smollm2").logits
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_nothing_is_read_before_the_first_weight() -> None:
    checkpoint, read = golden("smollm2").checkpoint, list[str]()

    class Counted(Dense):
        def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
            read.append("decoded")
            return super().decode(rows)

    def weight(name: str) -> Encoded:
        return Counted(checkpoint.weight(name).decode(), "float32")

    model = read_model(checkpoint.config)
    given = ModelState(checkpoint.config, model, SourceWeights(model, weight))
    state = run_recipe(given, read_recipe({"passes": [{"pass": "rotate"}, ROUNDED]}), threads=1).state
    shapes = {name: state.weights[name].shape for name in state.weights if name not in state.schemes}
    assert shapes == {name: model.weights()[name].shape for name in shapes}
    assert read == []
    state.weights["model.layers.0.self_attn.v_proj.weight"]
    assert len(read) == 2  # itself and the norm before it


@pytest.mark.parametrize("passes", [[{"pass": "rotate"}], [{"pass": "rotate"}, ROUNDED]])
def test_an_artifact_of_a_tied_model_has_a_head_of_its_own(passes: list[dict[str, Any]], tmp_path: Path) -> None:
    source = open_checkpoint(str(save_llama(tmp_path / "tied")))
    report = honed.compress(source, {"passes": passes}, out=tmp_path / "out", threads=1)
    assert any("no longer tied" in note for note in report.notes)
    artifact = open_checkpoint(str(tmp_path / "out"))
    assert (source.config["tie_word_embeddings"], artifact.config["tie_word_embeddings"]) == (True, False)
    assert artifact.weight(HEAD).kind == ("dense" if len(passes) == 1 else "int8")
    found, expected = (_logits_of(checkpoint) for checkpoint in (artifact, source))
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def _logits_of(checkpoint: Checkpoint) -> NDArray[np.float32]:
    model = read_model(checkpoint.config)
    return logits(model, {name: checkpoint.weight(name) for name in model.weights()}, np.arange(3, 30))


def test_what_a_norm_adds_where_it_multiplies_with_nothing_is_refused() -> None:
    checkpoint = golden("gpt2").checkpoint
    model = read_model(checkpoint.config)

    def read(name: str) -> Encoded:
        values = checkpoint.weight(name).decode().copy()
        if name == "transformer.ln_f.weight":
            values[3] = 0
        return Dense(values, "float32")

    given = ModelState(checkpoint.config, model, SourceWeights(model, read))
    state = run_recipe(given, read_recipe({"passes": [{"pass": "rotate"}]}), threads=1).state
    with pytest.raises(UnsupportedError, match=r"transformer.ln_f.bias: .* is added where the norm multiplies with 0"):
        state.weights["transformer.ln_f.bias"].decode()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"residual": False, "values": False}, "residual and values are both false"),
        ({"matrix": "hadamar"}, "hadamar"),
        ({"seed": -1}, "seed"),
        ({"residuals": True}, "did you mean 'residual'"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        rotated("smollm2", **settings)


def test_a_stream_that_cannot_be_turned_is_refused_before_anything_is_read() -> None:
    model = read_model(tiny_config("gemma2"))
    weights = SourceWeights(model, lambda name: pytest.fail(f"{name} was read"))
    with pytest.raises(UnsupportedError, match="post_attention_layernorm"):
        run_recipe(
            ModelState(tiny_config("gemma2"), model, weights), read_recipe({"passes": [{"pass": "rotate"}]}), threads=1
        )
