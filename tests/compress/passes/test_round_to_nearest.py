"""The pass decides what each weight becomes; how a weight is rounded is tested with the encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.linears import HEAD
from honed.compress.pipeline import Compressed, run_recipe
from honed.compress.recipe import Recipe, read_recipe
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.scheme import Int4Scheme, Int8Scheme, scheme_of
from honed.models.base import DecoderModel
from honed.models.registry import read_model

INT4 = Recipe(passes=read_recipe("int4").passes[-1:])
"""The rounding of the built-in recipe, without what comes before it."""


def model(*, tied: bool, hidden: int = 64) -> DecoderModel:
    return read_model(
        {
            "model_type": "qwen2",
            "vocab_size": 40,
            "hidden_size": hidden,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 64,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": tied,
        }
    )


class Source:
    """Random weights made when asked for; remembers what was asked."""

    def __init__(self, of: DecoderModel) -> None:
        self.shapes = {name: weight.shape for name, weight in of.weights().items()}
        self.read: list[str] = []

    def __call__(self, name: str) -> Encoded:
        self.read.append(name)
        generator = np.random.default_rng(len(name))
        return Dense(generator.standard_normal(self.shapes[name]).astype(np.float32), "float32")


def compressed(of: DecoderModel, read: Callable[[str], Encoded], recipe: Recipe = INT4) -> Compressed:
    return run_recipe(ModelState({}, of, SourceWeights(of, read)), recipe, threads=1)


@pytest.mark.parametrize("tied", [True, False])
def test_layers_and_head_are_encoded_and_the_rest_stays_dense(tied: bool) -> None:
    decoder = model(tied=tied)
    source = Source(decoder)
    state = compressed(decoder, source).state
    assert set(state.weights) == set(decoder.weights()) | {HEAD}
    assert set(state.schemes) == {HEAD, *(name for name in decoder.weights() if name.endswith("_proj.weight"))}
    for name in state.weights:
        if name not in state.schemes:
            np.testing.assert_array_equal(state.weights[name].decode(), source(name).decode())
            continue
        expected = Int8Scheme(32, 32) if name == HEAD else Int4Scheme(32, "zero_point", activation_group=32)
        assert state.schemes[name] == scheme_of(state.weights[name]) == expected


def test_planning_computes_nothing_and_a_weight_is_made_when_asked_for() -> None:
    decoder = model(tied=True)
    read = Source(decoder)
    state = compressed(decoder, read).state
    read.read.clear()
    assert state.weights["model.layers.1.mlp.down_proj.weight"].kind == "int4"
    assert read.read == ["model.layers.1.mlp.down_proj.weight"]


def test_overrides_reach_the_head_and_the_layers_by_name() -> None:
    decoder = model(tied=True)
    recipe: dict[str, Any] = {
        "pass": "round_to_nearest",
        "weights": {"bits": 8, "group": None},
        "overrides": [
            {"modules": "lm_head", "setting": "dense"},
            {"modules": "*.0.mlp.*", "setting": {"weights": {"bits": 4, "group": 32}}},
        ],
    }
    schemes = compressed(decoder, Source(decoder), read_recipe({"passes": [recipe]})).state.schemes
    assert HEAD not in schemes
    assert schemes["model.layers.0.mlp.up_proj.weight"] == Int4Scheme(32, offset="symmetric")
    assert schemes["model.layers.1.mlp.up_proj.weight"] == Int8Scheme(None)


def test_a_group_that_gave_way_is_noted() -> None:
    decoder = model(tied=True, hidden=48)
    notes = compressed(decoder, Source(decoder)).state.notes
    assert any("q_proj.weight: 48 inputs are not whole groups; int8 per channel" in note for note in notes)
    assert not any("down_proj" in note for note in notes)


@pytest.mark.parametrize(
    ("kind", "offset"),
    [("Q4_0", "symmetric"), ("Q4_1", "minimum"), ("Q8_0", "zero_point"), (None, "zero_point")],
)
def test_the_offset_of_the_source_is_kept_and_a_4_bit_grid_with_it(kind: str | None, offset: str) -> None:
    decoder = model(tied=True)
    values = Source(decoder)

    def read(name: str) -> Encoded:
        weight = values(name)
        return weight if kind is None or len(weight.shape) < 2 else as_blocks(weight, kind)

    state = compressed(decoder, read).state
    name = "model.layers.0.mlp.up_proj.weight"
    scheme = state.schemes[name]
    assert isinstance(scheme, Int4Scheme)
    assert scheme.offset == offset
    exact = np.array_equal(state.weights[name].decode(), read(name).decode())
    assert exact is (kind in ("Q4_0", "Q4_1"))


def as_blocks(weight: Encoded, kind: str) -> GgufBlocks:
    """The weight as a GGUF file would store it, by the `gguf` package."""
    format_ = next(format_ for format_ in FORMATS.values() if format_.name == kind)
    data = gguf.quants.quantize(weight.decode(), gguf.GGMLQuantizationType[kind])
    return GgufBlocks(format_, data.reshape(-1).view(np.uint8), weight.shape)
