"""Smoothing changes nothing before rounding, to the bit, and finds each place where a factor can move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from honed.compress.calibrate import collect_inputs
from honed.compress.linears import HEAD
from honed.compress.smooth import Scaled, find_junctions, smoothed
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.base import DecoderModel
from honed.models.registry import read_model
from honed.ops.reference import GrowingStore, Reference, Rows

WINDOWS = [[3, 4, 5, 6, 7, 8, 9, 10, 11, 25], [12, 3, 3, 14, 15, 16, 17, 18, 19, 20]]


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
    return model.forward(Reference(tensors, Rows.single(torch.tensor(WINDOWS[0])), GrowingStore()))


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_smoothed_dense_weights_give_the_same_logits_to_the_bit(kind: str, tied: bool) -> None:
    model = read_model(config(kind, tie_word_embeddings=tied))
    weights = random_weights(model, 1)
    statistics = collect_inputs(model, lambda name: weights[name].decode(), WINDOWS)
    changed = smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    assert any(isinstance(weight, Scaled) for weight in changed.values())
    assert torch.equal(logits(model, weights), logits(model, changed))


def test_junctions_are_the_norms_and_the_up_projections() -> None:
    model = read_model(config("llama"))
    found = {j.producer.name: [c.name for c in j.consumers] for j in find_junctions(model, head_apart=False)}
    layer = "model.layers.1"
    assert len(found) == 6
    assert found[f"{layer}.input_layernorm.weight"] == [f"{layer}.self_attn.{p}_proj.weight" for p in "qkv"]
    assert found[f"{layer}.post_attention_layernorm.weight"] == [f"{layer}.mlp.{p}_proj.weight" for p in ("gate", "up")]
    assert found[f"{layer}.mlp.up_proj.weight"] == [f"{layer}.mlp.down_proj.weight"]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_norm_before_a_tied_head_moves_only_into_a_head_apart(kind: str) -> None:
    tied, untied = (read_model(config(kind, tie_word_embeddings=tied)) for tied in (True, False))
    layers = find_junctions(tied, head_apart=False)
    assert "model.norm.weight" not in {junction.producer.name for junction in layers}
    assert not any(junction.apart for junction in layers)
    *same, last = find_junctions(tied, head_apart=True)
    assert tuple(same) == layers
    assert (last.producer.name, [weight.name for weight in last.consumers]) == ("model.norm.weight", [HEAD])
    assert last.apart
    assert last.measured == "model.embed_tokens.weight"
    for head_apart in (True, False):
        *same, last = find_junctions(untied, head_apart=head_apart)
        assert tuple(same) == layers
        assert (last.producer.name, last.apart, last.measured) == ("model.norm.weight", False, HEAD)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_smoothed_head_apart_gives_the_same_logits_to_the_bit(kind: str) -> None:
    model = read_model(config(kind))
    weights = random_weights(model, 4)
    table = "model.embed_tokens.weight"
    apart = {**weights, HEAD: weights[table]}
    statistics = collect_inputs(model, lambda name: weights[name].decode(), WINDOWS)
    changed = smoothed(find_junctions(model, head_apart=True), apart, statistics, strength=0.5)
    assert changed[table] is weights[table]
    factors = changed[HEAD].decode() / weights[table].decode()
    assert len(np.unique(factors)) > 1
    tensors = {name: torch.from_numpy(weight.decode()) for name, weight in changed.items()}
    tensors[table], embedding = tensors.pop(HEAD), tensors[table]
    rows = Rows.single(torch.tensor(WINDOWS[0]))
    found = model.forward(Reference(tensors, rows, GrowingStore(), {table: embedding}))
    assert torch.equal(found, logits(model, weights))


def test_an_up_projection_with_a_bias_is_left_alone() -> None:
    found = {j.producer.name for j in find_junctions(read_model(config("llama", mlp_bias=True)), head_apart=True)}
    assert not any("up_proj" in name for name in found)


def test_outliers_move_into_the_weights() -> None:
    model = read_model(config("llama"))
    weights = random_weights(model, 2)
    name = "model.layers.0.input_layernorm.weight"
    gains = np.ones(32, np.float32)
    gains[5] = 300.0
    weights[name] = Dense(gains, "float32")
    statistics = collect_inputs(model, lambda n: weights[n].decode(), WINDOWS)
    after = smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    spread = collect_inputs(model, lambda n: after[n].decode(), WINDOWS).rms("model.layers.0.self_attn.q_proj.weight")
    before = statistics.rms("model.layers.0.self_attn.q_proj.weight")
    assert spread.max() / np.median(spread) < 0.25 * before.max() / np.median(before)


def test_dead_features_keep_a_factor_of_one() -> None:
    model = read_model(config("llama"))
    weights = random_weights(model, 3)
    name = "model.layers.0.input_layernorm.weight"
    gains = weights[name].decode().copy()
    gains[7] = 0.0
    weights[name] = Dense(gains, "float32")
    statistics = collect_inputs(model, lambda n: weights[n].decode(), WINDOWS)
    after = smoothed(find_junctions(model, head_apart=False), weights, statistics, strength=0.5)
    assert all(np.isfinite(weight.decode()).all() for weight in after.values())
    assert after[name].decode()[7] == 0.0


def test_rows_of_a_scaled_weight_are_rows_of_the_whole() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns, rows = np.array([1, 2, 4], np.float32), np.array([1, 2, 4, 8], np.float32)
    scaled = Scaled(Dense(values, "float32"), columns, rows)
    np.testing.assert_array_equal(scaled.decode(slice(1, 3)), scaled.decode()[1:3])
    np.testing.assert_array_equal(scaled.decode(), values * columns / rows[:, None])
