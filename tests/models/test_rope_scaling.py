"""Inverse frequencies against those that transformers computes, in both forms of config; logits far past the positions
that a model was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import tiny_models
from honed.backends.native import NativeBackend
from honed.backends.native_config import NativeConfig
from honed.errors import FormatError, UnsupportedError
from honed.models.config import Fields, read_context
from honed.models.registry import read_model
from honed.models.rope_scaling import read_rotary

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.1 * i for i in range(32)],
    "long_factor": [2.0 + i for i in range(32)],
    "original_max_position_embeddings": 4096,
}
SCALED = {
    "llama3": LLAMA3,
    "linear": LINEAR,
    "dynamic": DYNAMIC,
    "yarn": YARN,
    "yarn of few turns": {**YARN, "beta_fast": 8.0, "beta_slow": 2.0},
    "yarn that is not truncated": {**YARN, "truncate": False},
    "yarn with an attention factor": {**YARN, "attention_factor": 1.25},
    "yarn with mscale": {**YARN, "mscale": 0.707, "mscale_all_dim": 1.0},
    "yarn with half of mscale": {**YARN, "mscale": 0.707},
    "yarn with zeros": {**YARN, "mscale": 0.0, "mscale_all_dim": 0.0, "beta_fast": 0, "beta_slow": None},
    "yarn of a short context": {**YARN, "rope_theta": 500.0, "original_max_position_embeddings": 4},
    "yarn that shrinks": {**YARN, "factor": 0.5},
    "yarn without a factor": {**YARN, "factor": None},
    "longrope": LONGROPE,
    "longrope with a factor": {**LONGROPE, "factor": 8.0},
    "longrope with an attention factor": {**LONGROPE, "attention_factor": 1.5},
    "longrope that shrinks": {**LONGROPE, "factor": 0.5},
    "proportional": {"rope_type": "proportional", "rope_theta": 1e6, "factor": 2.0, "partial_rotary_factor": 0.25},
}


def read(config: dict[str, Any], head_dim: int = 64) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(read_rotary(Fields(config, "config.json"), head_dim).inverse_frequencies)


@pytest.mark.parametrize("name", SCALED)
def test_scaled_rotations_equal_transformers(name: str) -> None:
    parameters = SCALED[name]
    sizes = {"hidden_size": 256, "num_attention_heads": 4, "max_position_embeddings": 131072}
    config = transformers.LlamaConfig(**sizes, rope_parameters=dict(parameters))
    expected, factor = ROPE_INIT_FUNCTIONS[str(parameters["rope_type"])](config, "cpu")
    for form in ({"rope_parameters": parameters}, {"rope_scaling": parameters}):
        found = read_rotary(Fields({**sizes, **form}, "config.json"), 64)
        np.testing.assert_allclose(found.inverse_frequencies, expected.numpy(), rtol=4e-7)
        assert found.attention_factor == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("name", ["llama3", "linear", "dynamic", "yarn", "yarn with mscale", "longrope"])
def test_scaled_rotations_of_a_part_of_a_head_equal_transformers(name: str, part: float) -> None:
    pairs = int(32 * part)
    parameters = {**SCALED[name], "partial_rotary_factor": part}
    if name == "longrope":
        parameters |= {field: LONGROPE[field][:pairs] for field in ("short_factor", "long_factor")}
    sizes = {"hidden_size": 256, "num_attention_heads": 4, "max_position_embeddings": 131072}
    config = transformers.LlamaConfig(**sizes, rope_parameters=dict(parameters))
    expected, factor = ROPE_INIT_FUNCTIONS[str(parameters["rope_type"])](config, "cpu")
    found = read_rotary(Fields({**sizes, "rope_parameters": parameters}, "config.json"), 64, partial=1.0)
    assert len(found.inverse_frequencies) == pairs
    np.testing.assert_allclose(found.inverse_frequencies, expected.numpy(), rtol=2e-6)  # theirs are blended in float32
    assert found.attention_factor == pytest.approx(factor, rel=1e-12)


SHORT: dict[str, Any] = {"original_max_position_embeddings": 16}
SAME: dict[str, Any] = {"short_factor": [2.0] * 6, "long_factor": [2.0] * 6}
FAR: dict[str, tuple[str, dict[str, Any]]] = {
    "yarn": ("llama", {**YARN, **SHORT, "factor": 16.0}),
    "yarn with mscale": ("qwen2", {**YARN, **SHORT, "mscale": 0.7, "mscale_all_dim": 1.1, "truncate": False}),
    "yarn with turns": ("qwen3", {**YARN, **SHORT, "attention_factor": 1.3, "beta_fast": 6.0, "beta_slow": 2.0}),
    "yarn of a part": ("glm4", {**YARN, **SHORT, "partial_rotary_factor": 0.5}),
    "yarn of neox": ("gpt_neox", {**YARN, **SHORT, "partial_rotary_factor": 0.5}),
    "llama3 of a part": ("glm4", {**LLAMA3, **SHORT, "partial_rotary_factor": 0.5}),
    "linear of a part": ("glm4", {**LINEAR, "partial_rotary_factor": 0.5}),
    "dynamic": ("llama", DYNAMIC),
    "proportional": ("llama", {"rope_type": "proportional", "rope_theta": 500.0, "partial_rotary_factor": 0.5}),
    "longrope that does not change": (
        "llama",
        {**LONGROPE, **SHORT, **SAME},
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAR)
def test_logits_far_behind_the_original_context(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, parameters = FAR[name]
    own: dict[str, Any] = {"glm4": {"head_dim": 16, **tiny_models.GLM}, "qwen3": {"head_dim": 20}}.get(kind, {})
    family = f"far {name}"
    monkeypatch.setitem(tiny_models.FAMILIES, family, (kind, {**own, "rope_parameters": parameters}))
    monkeypatch.setattr(tiny_models, "TOKENS", 180)
    made = tiny_models.golden(family)
    assert made.agrees(tiny_models.reference_whole(made))
    assert read_model(made.checkpoint.config).dimensions.context == 256
    backend = NativeBackend.load(made.checkpoint, NativeConfig(kv_tokens=256, dtype="float32", kv_dtype="float32"))
    assert made.agrees(backend.forward(tiny_models.whole(made.tokens, pages=(3, 1, 5, 4, 0, 2))))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    factor=st.floats(1.0, 64.0),
    original=st.integers(16, 65536),
    theta=st.floats(100.0, 1e7),
    fast=st.floats(2.0, 64.0),
    half=st.integers(2, 64),
)
def test_any_yarn_equals_transformers(factor: float, original: int, theta: float, fast: float, half: int) -> None:
    parameters = {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": fast,
    }
    sizes = {"hidden_size": 8 * half, "num_attention_heads": 4, "max_position_embeddings": 131072}
    config = transformers.LlamaConfig(**sizes, rope_parameters=dict(parameters))
    expected, attention = ROPE_INIT_FUNCTIONS["yarn"](config, "cpu")
    found = read_rotary(Fields({**sizes, "rope_parameters": parameters}, "config.json"), 2 * half)
    np.testing.assert_allclose(found.inverse_frequencies, expected.numpy(), rtol=2e-6)
    assert found.attention_factor == pytest.approx(attention, rel=1e-12)


def test_where_the_context_ends() -> None:
    def context(stated: int, **parameters: Any) -> int:
        return read_context(Fields({"max_position_embeddings": stated, "rope_scaling": parameters}, "config.json"))

    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    assert context(32768, **yarn) == 131072
    assert context(40960, **yarn) == 131072
    assert context(262144, **yarn) == 262144
    assert context(2048, type="dynamic", factor=4.0) == 2048
    assert context(2048, type="linear", factor=4.0) == 2048
    factors = {"short_factor": [1.0], "long_factor": [2.0]}
    assert context(131072, type="longrope", original_max_position_embeddings=4096, **factors) == 4096
    assert context(131072, type="su", original_max_position_embeddings=4096, **factors) == 4096
    factors["short_factor"] = [2.0]
    assert context(131072, type="longrope", original_max_position_embeddings=4096, **factors) == 131072


def test_where_both_forms_stand_the_older_one_counts_as_in_transformers() -> None:
    both = {
        "rope_theta": 500.0,
        "rope_scaling": {"type": "linear", "factor": 2.0},
        "rope_parameters": {"rope_theta": 500},
    }
    np.testing.assert_array_equal(read(both), read({"rope_theta": 500.0, "rope_scaling": both["rope_scaling"]}))
    both["rope_parameters"] = {"rope_theta": 7e5, "rope_type": "default"}
    with pytest.raises(FormatError, match=r"rope_parameters.rope_theta: is 700000.0, but rope_scaling stands beside"):
        read(both)
    assert read({"rope_scaling": {}, "rope_parameters": LLAMA3}).tolist() == read({"rope_parameters": LLAMA3}).tolist()


def test_a_rotation_for_each_type_of_layer() -> None:
    same = {"full_attention": LLAMA3, "sliding_attention": LLAMA3}
    np.testing.assert_array_equal(read({"rope_parameters": same}), read({"rope_parameters": LLAMA3}))
    with pytest.raises(UnsupportedError, match=r"differs from layer to layer"):
        read({"rope_parameters": {**same, "sliding_attention": LINEAR}})


def test_the_older_form_means_the_same() -> None:
    scaling = {key: value for key, value in LLAMA3.items() if key not in ("rope_theta", "rope_type")}
    older = {"rope_theta": 500000.0, "rope_scaling": {**scaling, "type": "llama3"}}
    np.testing.assert_array_equal(read(older), read({"rope_parameters": LLAMA3}))


def test_the_plain_form() -> None:
    expected = (10000.0 ** (-np.arange(32) / 32)).astype(np.float32)
    np.testing.assert_array_equal(read({}), expected)
    np.testing.assert_array_equal(read({"rope_scaling": None, "rope_theta": 10000}), expected)


def test_frequency_factors_divide() -> None:
    factors = tuple(1.0 + i for i in range(32))
    np.testing.assert_allclose(read({"rope_frequency_factors": factors}), read({}) / np.array(factors), rtol=1e-7)


@pytest.mark.parametrize("factors", [(1.0,) * 31, (0.0,) * 32, (float("nan"),) * 32, ("1",) * 32, 2.0])
def test_bad_frequency_factors_are_refused(factors: Any) -> None:
    with pytest.raises(FormatError, match="rope_frequency_factors"):
        read({"rope_frequency_factors": factors})


def test_an_unknown_kind_lists_those_that_are_known() -> None:
    with pytest.raises(
        UnsupportedError, match=r"rope_scaling\.rope_type 'mrope'.*default, linear, dynamic, llama3, yarn"
    ):
        read({"rope_scaling": {"rope_type": "mrope", "factor": 2.0}})
    with pytest.raises(UnsupportedError, match=r"rope_scaling\.alpha 1000.0"):
        read({"rope_scaling": {"rope_type": "dynamic", "factor": 1.0, "alpha": 1000.0}})
    with pytest.raises(UnsupportedError, match=r"partial_rotary_factor 0\.5"):
        read({"partial_rotary_factor": 0.5})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"factor": 0}, "factor"),
        ({"factor": None}, "factor"),
        ({"high_freq_factor": 1.0}, "high_freq_factor"),
        ({"original_max_position_embeddings": -1}, "original_max_position_embeddings"),
        ({"rope_theta": "big"}, "rope_theta"),
        ({"rope_type": 3}, "rope_type"),
    ],
)
def test_a_bad_parameter_is_named_with_its_path(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError, match=rf"config.json: rope_parameters\.{field}"):
        read({"rope_parameters": {**LLAMA3, **change}})


@pytest.mark.parametrize(
    ("parameters", "change", "field"),
    [
        (YARN, {"factor": -2.0}, "factor"),
        (YARN, {"factor": float("nan")}, "factor"),
        (YARN, {"attention_factor": 0.0}, "attention_factor"),
        (YARN, {"attention_factor": "1"}, "attention_factor"),
        (YARN, {"beta_fast": float("inf")}, "beta_fast"),
        (YARN, {"beta_slow": -1.0}, "beta_slow"),
        (YARN, {"mscale": "x"}, "mscale"),
        (YARN, {"truncate": 1}, "truncate"),
        (YARN, {"original_max_position_embeddings": 0}, "original_max_position_embeddings"),
        (YARN, {"rope_theta": 1.0}, "rope_type"),
        (DYNAMIC, {"factor": 0}, "factor"),
        (LONGROPE, {"short_factor": [1.0]}, "short_factor"),
        (LONGROPE, {"long_factor": None}, "long_factor"),
        (LONGROPE, {"short_factor": [True] * 32}, "short_factor"),
        (LONGROPE, {"original_max_position_embeddings": 1}, "original_max_position_embeddings"),
    ],
)
def test_bad_parameters_of_newer_kinds(parameters: dict[str, Any], change: dict[str, Any], field: str) -> None:
    config = {"max_position_embeddings": 8192, "rope_parameters": {**parameters, **change}}
    with pytest.raises(FormatError, match=rf"config.json: rope_parameters\.{field}: is "):
        read(config)
