"""ModernBERT: rows of the torch reference against transformers, and every form in which configs state it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import honed
from encoder_reference import token_rows
from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.modernbert import ModernBert
from honed.models.programs import ENCODE
from honed.models.recorded import recorded
from honed.models.registry import read_encoder
from honed.ops.table import Attention, LayerNorm, Rope
from tiny_encoders import SIZES, golden_encoder, with_tokenizer

FAMILIES = ["modernbert", "modernbert_biases", "modernbert_types"]
CONFIG: dict[str, Any] = {**SIZES, "model_type": "modernbert", "num_hidden_layers": 5}
KINDS = {
    "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
}


def read(**changed: Any) -> ModernBert:
    model = read_encoder({**CONFIG, **changed})
    assert isinstance(model, ModernBert)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_equal_transformers(family: str) -> None:
    made = golden_encoder(family)
    assert made.agrees(token_rows(made))


TEXTS = ["the query", "it was on the one that he had from the word that you are at", "you are"]


def test_vectors_equal_transformers_and_stay_close_when_compressed(tmp_path: Path) -> None:
    source = with_tokenizer("modernbert", tmp_path / "source")
    with honed.load(source) as model:
        vectors = model.embed(TEXTS)
    encoder = transformers.AutoModel.from_pretrained(source, dtype=torch.float32, attn_implementation="eager").eval()
    words = transformers.PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"))
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            row = encoder(**words(text, return_tensors="pt", return_token_type_ids=False)).last_hidden_state[0].mean(0)
        assert float(vector @ (row / row.norm()).numpy()) > 1 - 1e-5
    for recipe, least in (("int8", 0.999), ("int4", 0.97), ("nf4", 0.97)):
        honed.compress(source, recipe, out=tmp_path / recipe)
        with honed.load(tmp_path / recipe) as model:
            compressed = model.embed(TEXTS)
        assert (vectors * compressed).sum(axis=1).min() > least
        assert not np.array_equal(vectors, compressed)


def test_what_a_config_leaves_out() -> None:
    model = read()
    assert model.sides == (None, 64, 64, None, 64)
    assert (model.gate, model.eps) == ("gelu", 1e-5)
    assert not (model.attention_bias or model.mlp_bias or model.norm_bias)
    assert model == read(global_rope_theta=160000.0, local_rope_theta=10000.0, global_attn_every_n_layers=3)
    assert model.rotaries[0] == model.rotaries[3] != model.rotaries[1] == model.rotaries[2]


def test_a_layer_sees_and_turns_by_its_kind() -> None:
    model = read(local_attention=9, global_attn_every_n_layers=2)
    graph = recorded(model, ENCODE)
    sides = [(attention.spec.before, attention.spec.after) for attention in graph.operations(Attention)]
    assert sides == [(None, None), (4, 4)] * 2 + [(None, None)]
    rotaries = [rope.rotary for rope in graph.operations(Rope)]
    assert rotaries[::2] == rotaries[1::2] == list(model.rotaries)


def test_the_first_block_has_one_norm() -> None:
    norms = [norm.weight.name for norm in recorded(read(num_hidden_layers=2), ENCODE).operations(LayerNorm)]
    assert norms == [
        "model.embeddings.norm.weight",
        "model.layers.0.mlp_norm.weight",
        "model.layers.1.attn_norm.weight",
        "model.layers.1.mlp_norm.weight",
        "model.final_norm.weight",
    ]


def test_both_forms_of_the_rotations_mean_the_same() -> None:
    thetas = {"global_rope_theta": 500.0, "local_rope_theta": 30.0}
    newer = {kind: {"rope_type": "default", "rope_theta": KINDS[kind]["rope_theta"]} for kind in KINDS}
    assert read(**thetas) == read(rope_parameters=newer)
    # What the newer form says counts, as in transformers; what it leaves out is taken from the older one.
    assert read(rope_parameters=newer, global_rope_theta=7.0) == read(**thetas)
    assert read(rope_parameters={"full_attention": newer["full_attention"]}, local_rope_theta=30.0) == read(**thetas)
    # Scaling of the older form is that of both kinds of layer.
    scaled = {kind: {"rope_type": "linear", "factor": 2.0, **newer[kind]} | {"rope_type": "linear"} for kind in newer}
    assert read(**thetas, rope_scaling={"rope_type": "linear", "factor": 2.0}) == read(rope_parameters=scaled)


def test_no_local_base_is_the_global_one() -> None:
    model = read(global_rope_theta=500.0, local_rope_theta=None)
    assert set(model.rotaries) == {read(global_rope_theta=500.0).rotaries[0]}


def test_layers_that_are_named_count_before_how_often_one_sees_everything() -> None:
    kinds = ["sliding_attention"] * 4 + ["full_attention"]
    assert read(layer_types=kinds, global_attn_every_n_layers=2).sides == (64, 64, 64, 64, None)


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"local_attention": -2}, FormatError, "local_attention: is -2, but must be an integer from 0"),
        ({"global_attn_every_n_layers": 0}, FormatError, "global_attn_every_n_layers: is 0, but must be an integer"),
        (
            {"layer_types": ["full_attention"]},
            FormatError,
            "layer_types: is .* but must be a list of num_hidden_layers",
        ),
        ({"layer_types": ["x"] * 5}, UnsupportedError, "layer_types 'x' is not supported"),
        ({"local_rope_theta": 0}, FormatError, "local_rope_theta: is 0, but must be a number over"),
        ({"rope_parameters": {"rope_theta": 5.0}}, UnsupportedError, "rope_parameters: has no full_attention"),
        ({"rope_scaling": {"rope_type": "spiral"}}, UnsupportedError, "rope_type 'spiral' is not supported"),
        ({"hidden_activation": "relu"}, UnsupportedError, "hidden_activation 'relu' gates no MLP here"),
        ({"hidden_activation": "mish"}, UnsupportedError, "hidden_activation 'mish' is not supported"),
        ({"hidden_size": 50}, FormatError, "hidden_size: is 50, but must be a multiple of num_attention_heads 4"),
        ({"head_dim": 16}, UnsupportedError, "head_dim 16 is not supported; supported is hidden_size over"),
        ({"is_decoder": True}, UnsupportedError, "is_decoder is true"),
        ({"norm_bias": 1}, FormatError, "norm_bias: is 1, but must be true or false"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], kind: type[HonedError], says: str) -> None:
    with pytest.raises(kind, match=says):
        read(**changed)
