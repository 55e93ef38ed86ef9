"""The pass decides what each weight becomes; how a weight is rounded is tested with the encoders."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest

from honed.compress.linears import HEAD, find_linears
from honed.compress.pipeline import SourceWeights, compress_weights
from honed.compress.recipe import Recipe, Setting, read_recipe
from honed.compress.round_to_nearest import fitting_scheme, relative_error, to_dense
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, bfloat16_to_float32
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme, scheme_of
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


def weight_setting(bits: int, group: int | None, activation: int | None = None) -> Setting:
    return Setting.model_validate({"weights": {"bits": bits, "group": group}, "activations": {"group": activation}})


@pytest.mark.parametrize("tied", [True, False])
def test_linears_are_found_by_what_the_model_calls(tied: bool) -> None:
    found = find_linears(model(tied=tied))
    assert len(found.layers) == 2 * 7
    assert found.tied is tied
    assert found.head.name == ("model.embed_tokens.weight" if tied else "lm_head.weight")
    assert found.head_name == HEAD
    assert not {weight.name for weight in found.layers} & {found.head.name, found.embedding.name}


@pytest.mark.parametrize("tied", [True, False])
def test_layers_and_head_are_encoded_and_the_rest_stays_dense(tied: bool) -> None:
    decoder = model(tied=tied)
    source = SourceWeights(decoder, Source(decoder))
    pipeline = compress_weights(decoder, source, INT4, threads=1)
    assert set(pipeline.schemes) == set(decoder.weights()) | {HEAD}
    for name, scheme in pipeline.schemes.items():
        if name == HEAD:
            assert scheme == Int8Scheme(32, 32)
        elif name.endswith("_proj.weight"):
            assert scheme == Int4Scheme(32, offset="zero_point", activation_group=32)
        elif name == "model.embed_tokens.weight":
            assert scheme == DenseScheme("bfloat16")
        else:
            assert scheme == DenseScheme("float32")
        assert scheme_of(pipeline.weight(name)) == scheme


def test_planning_computes_nothing_and_a_weight_is_made_when_asked_for() -> None:
    decoder = model(tied=True)
    read = Source(decoder)
    pipeline = compress_weights(decoder, SourceWeights(decoder, read), INT4, threads=1)
    assert pipeline.reports()[0].tensors == ()
    read.read.clear()
    name = "model.layers.1.mlp.down_proj.weight"
    encoded = pipeline.weight(name)
    assert read.read == [name]
    (line,) = pipeline.reports()[0].tensors
    assert (line.name, line.bytes_after, line.encoding) == (name, encoded.nbytes, str(pipeline.schemes[name]))
    assert 0 < line.relative_error < 0.1


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
    source = SourceWeights(decoder, Source(decoder))
    schemes = compress_weights(decoder, source, read_recipe({"passes": [recipe]}), threads=1).schemes
    assert isinstance(schemes[HEAD], DenseScheme)
    assert schemes["model.layers.0.mlp.up_proj.weight"] == Int4Scheme(32, offset="symmetric")
    assert schemes["model.layers.1.mlp.up_proj.weight"] == Int8Scheme(None)


@pytest.mark.parametrize(
    ("setting", "width", "expected"),
    [
        (weight_setting(8, 128, 128), 576, Int8Scheme(64, 64)),
        (weight_setting(4, 128, 128), 96, Int4Scheme(32, offset="symmetric", activation_group=32)),
        (weight_setting(4, 64), 896, Int4Scheme(64, offset="symmetric")),
        (weight_setting(4, 32, 32), 80, Int8Scheme(None, None)),
        (weight_setting(8, 32, 32), 100, Int8Scheme(None, None)),
        (weight_setting(8, None, 128), 160, Int8Scheme(None, 32)),
        (weight_setting(8, None), 7, Int8Scheme(None, None)),
    ],
)
def test_groups_give_way_to_the_width(setting: Setting, width: int, expected: object) -> None:
    assert fitting_scheme(setting, width, "symmetric") == expected


def test_a_group_that_gave_way_is_noted() -> None:
    decoder = model(tied=True, hidden=48)
    source = SourceWeights(decoder, Source(decoder))
    (report,) = compress_weights(decoder, source, INT4, threads=1).reports()
    assert any("q_proj.weight: 48 inputs are not whole groups; int8 per channel" in note for note in report.notes)
    assert not any("down_proj" in note for note in report.notes)


def test_narrowing_to_bfloat16_rounds_to_nearest() -> None:
    values = np.random.default_rng(0).standard_normal((300, 700)).astype(np.float32)
    kept = to_dense(Dense(values, "float32"), DenseScheme("bfloat16"))
    assert kept.values.dtype == np.uint16
    assert np.abs(bfloat16_to_float32(kept.values.astype(np.uint16)) / values - 1).max() <= 2**-8


def test_the_relative_error_is_that_of_the_whole_matrix() -> None:
    values = np.random.default_rng(0).standard_normal((3000, 100)).astype(np.float32)
    source = Dense(values, "float32")
    encoded = encode_int8(source, name="w")
    expected = np.linalg.norm(encoded.decode() - values) / np.linalg.norm(values)
    assert relative_error(source, encoded) == pytest.approx(expected, rel=1e-4)
    zero = Dense(np.zeros((2, 32), np.float32), "float32")
    assert relative_error(zero, encode_int8(zero, name="w")) == 0


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

    pipeline = compress_weights(decoder, SourceWeights(decoder, read), INT4, threads=1)
    name = "model.layers.0.mlp.up_proj.weight"
    scheme = pipeline.schemes[name]
    assert isinstance(scheme, Int4Scheme)
    assert scheme.offset == offset
    noted = any("other tools see the nearest" in note for note in pipeline.reports()[-1].notes)
    assert noted is (offset == "minimum")
    exact = np.array_equal(pipeline.weight(name).decode(), read(name).decode())
    assert exact is (kind in ("Q4_0", "Q4_1"))


def as_blocks(weight: Encoded, kind: str) -> GgufBlocks:
    """The weight as a GGUF file would store it, by the `gguf` package."""
    format_ = next(format_ for format_ in FORMATS.values() if format_.name == kind)
    data = gguf.quants.quantize(weight.decode(), gguf.GGMLQuantizationType[kind])
    return GgufBlocks(format_, data.reshape(-1).view(np.uint8), weight.shape)
