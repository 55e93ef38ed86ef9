"""Configs against shapes: what lies is refused, in little memory and time."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.checkpoints.config_against_weights import check_consistency
from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.registry import read_encoder, read_model

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
SHAPES = {name: weight.shape for name, weight in read_model(CONFIG).weights().items()}


def check(config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> frozenset[str]:
    return check_consistency(config, Path("d/config.json"), shapes, Path("d"))


def test_agreement_and_leftovers() -> None:
    assert check(CONFIG, SHAPES) == frozenset(SHAPES)
    extra = {"lm_head.weight": (50, 32), "model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}
    assert check(CONFIG, SHAPES | extra) == frozenset(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_every_weight_must_be_there_in_its_shape(name: str) -> None:
    others = {other: shape for other, shape in SHAPES.items() if other != name}
    with pytest.raises(FormatError, match=f"d: {name}: is missing; config.json describes it as"):
        check(CONFIG, others)
    for wrong in ((*SHAPES[name], 1), SHAPES[name][:-1], (SHAPES[name][0] + 1, *SHAPES[name][1:])):
        with pytest.raises(FormatError, match=f"d: {name}: has shape"):
            check(CONFIG, others | {name: wrong})


LIES = {
    "num_hidden_layers": (10**9, 3, 1, 0, -1, 2**63, "2", 2.0, None, True),
    "num_attention_heads": (10**9, 5, 8, 0, -4, 2**64),
    "num_key_value_heads": (3, 4, 0, -1, 10**12),
    "vocab_size": (51, 0, -1, 2**31, 10**18),
    "hidden_size": (64, 0, 33, 2**40),
    "intermediate_size": (49, 0, 2**40),
    "head_dim": (16, 7, 0, -8, 2**33),
    "max_position_embeddings": (0, -1, 2**40, "long"),
    "rms_norm_eps": (-1.0, float("nan"), float("inf"), "small"),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in LIES.items() for value in values])
def test_fields_that_lie(field: str, value: object) -> None:
    tracemalloc.start()
    begun = time.perf_counter()
    with pytest.raises(FormatError):
        check(CONFIG | {field: value}, SHAPES)
    assert time.perf_counter() - begun < 1.0
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize("layer", ["2", "10", "999999999999999999999999"])
def test_layers_left_over(layer: str) -> None:
    with pytest.raises(FormatError, match=r"num_hidden_layers: is 2, but the weights hold model.layers"):
        check(CONFIG, SHAPES | {f"model.layers.{layer}.mlp.up_proj.weight": (48, 32)})


ODD: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from([0, 1, 2, 4])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)
FIELDS = (
    *CONFIG,
    *("head_dim", "hidden_act", "rope_theta", "rope_scaling", "rope_parameters", "rope_frequency_factors"),
    *("attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "max_window_layers", "layer_types"),
    *("auto_map", "partial_rotary_factor", "architectures"),
)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.sampled_from(["llama", "mistral", "qwen2", "qwen3"]),
    st.dictionaries(st.sampled_from(FIELDS), ODD, min_size=1, max_size=4),
)
def test_any_values_are_accepted_or_refused_by_name(family: str, changes: dict[str, Any]) -> None:
    with contextlib.suppress(HonedError):
        check(CONFIG | {"model_type": family} | changes, SHAPES)


def test_unknown_architectures() -> None:
    with pytest.raises(UnsupportedError, match="model_type 'mine' is not supported"):
        check(CONFIG | {"model_type": "mine"}, SHAPES)
    with pytest.raises(UnsupportedError, match="auto_map: the model needs code from its repository"):
        check(CONFIG | {"model_type": "mine", "auto_map": {"AutoModel": "x.Y"}}, SHAPES)
    assert check(CONFIG | {"auto_map": {"AutoModel": "x.Y"}}, SHAPES)
    for odd in (None, 5, ["llama"]):
        with pytest.raises(HonedError):
            check(CONFIG | {"model_type": odd, "auto_map": {"AutoModel": "x.Y"}}, SHAPES)


ENCODER: dict[str, Any] = {
    "model_type": "distilbert",
    "dim": 8,
    "hidden_dim": 12,
    "n_layers": 2,
    "n_heads": 2,
    "vocab_size": 20,
    "max_position_embeddings": 16,
}


def test_layers_of_an_encoder_that_are_left_over() -> None:
    shapes = {name: weight.shape for name, weight in read_encoder(ENCODER).weights().items()}
    assert check(ENCODER, shapes) == frozenset(shapes)
    extra = {"transformer.layer.2.ffn.lin1.bias": (12,)}
    with pytest.raises(FormatError, match=r"n_layers: is 2, but the weights hold transformer.layer.2.ffn.lin1.bias"):
        check(ENCODER, shapes | extra)
    assert check(ENCODER, shapes | {"head.layer.7.weight": (3,)}) == frozenset(shapes)


def test_code_of_a_repository_is_not_run_for_an_encoder_that_is_known() -> None:
    shapes = {name: weight.shape for name, weight in read_encoder(ENCODER).weights().items()}
    assert check({**ENCODER, "auto_map": {"AutoModel": "x.Y"}}, shapes) == frozenset(shapes)
