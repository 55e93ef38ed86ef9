"""Rotary scaling, sliding windows and token ids of GGUF metadata in the form of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gguf_builder import HEAD_DIM, random_arrays, write_model
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.errors import FormatError, UnsupportedError
from honed.models.llama import Llama
from honed.models.registry import read_model

PAIRS = HEAD_DIM // 2


def config_of(tmp_path: Path, factors: NDArray[Any] | None = None, **changed: Any) -> dict[str, Any]:
    """Keyword arguments are metadata keys of the architecture, double underscores for dots."""
    arrays = random_arrays("llama")
    if factors is not None:
        arrays["rope_freqs.weight"] = factors
    keys = {"." + key.replace("__", "."): value for key, value in changed.items()}
    return dict(GgufCheckpoint(write_model(tmp_path / "m.gguf", changed=keys, arrays=arrays)).config)


def llama3_factors(factor: float, theta: float) -> NDArray[np.float32]:
    """As the converter computes them from a config (low 1, high 4, 8192 positions)."""
    factors = []
    for pair in range(PAIRS):
        wavelength = 2 * np.pi * theta ** (2 * pair / HEAD_DIM)
        if wavelength < 8192 / 4:
            factors.append(1.0)
        elif wavelength > 8192 / 1:
            factors.append(factor)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


@pytest.mark.parametrize(("factor", "theta"), [(8.0, 500000.0), (32.0, 500000.0), (8.0, 10000.0)])
def test_factors_of_llama_3_become_its_parameters(tmp_path: Path, factor: float, theta: float) -> None:
    config = config_of(tmp_path, llama3_factors(factor, theta), rope__freq_base=theta)
    assert config["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    assert "rope_frequency_factors" not in config
    read_model(config)


def test_other_factors_are_kept_as_they_are(tmp_path: Path) -> None:
    factors = np.linspace(1, 3, PAIRS).astype(np.float32)
    config = config_of(tmp_path, factors)
    assert config["rope_frequency_factors"] == tuple(factors.tolist())
    assert "rope_scaling" not in config


@pytest.mark.parametrize(
    "factors",
    [np.ones(PAIRS + 1, np.float32), np.zeros(PAIRS, np.float32), np.full(PAIRS, np.nan, np.float32)],
    ids=["count", "zero", "nan"],
)
def test_malformed_factors(tmp_path: Path, factors: NDArray[np.float32]) -> None:
    with pytest.raises(FormatError, match=r"rope_freqs.weight: must be 8 positive numbers"):
        config_of(tmp_path, factors)


def test_factors_of_another_type(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"rope_freqs.weight: must be a vector of F32"):
        config_of(tmp_path, np.ones(PAIRS, np.float16))


def test_linear_scaling(tmp_path: Path) -> None:
    expected = {"rope_type": "linear", "factor": 4.0}
    assert config_of(tmp_path, rope__scaling__type="linear", rope__scaling__factor=4.0)["rope_scaling"] == expected
    assert config_of(tmp_path, rope__scale_linear=4.0)["rope_scaling"] == expected
    assert "rope_scaling" not in config_of(tmp_path, rope__scaling__type="none", rope__scaling__factor=4.0)
    assert "rope_scaling" not in config_of(tmp_path, rope__scale_linear=1.0)


def yarn(tmp_path: Path, **more: Any) -> dict[str, Any]:
    keys = {"factor": 4.0, "original_context_length": 32} | more
    changed = {f"rope__scaling__{key}": value for key, value in keys.items()}
    return config_of(tmp_path, rope__scaling__type="yarn", **changed)


def test_yarn(tmp_path: Path) -> None:
    plain = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    assert yarn(tmp_path)["rope_scaling"] == plain
    turns = yarn(tmp_path, yarn_beta_fast=16.0, yarn_beta_slow=2.0, attn_factor=1.0, yarn_ext_factor=1.0)
    assert turns["rope_scaling"] == plain | {"beta_fast": 16.0, "beta_slow": 2.0}
    weighted = yarn(tmp_path, yarn_log_multiplier=0.5)
    assert weighted["rope_scaling"] == plain | {"mscale": 1.0, "mscale_all_dim": 0.5}
    grown = 0.1 * np.log(4.0) + 1
    assert read_model(yarn(tmp_path)).dimensions.context == 128
    assert attention_factor(yarn(tmp_path)) == pytest.approx(grown)
    assert attention_factor(weighted) == pytest.approx(grown / (0.05 * np.log(4.0) + 1))
    assert attention_factor(yarn(tmp_path, attn_factor=1.5)) == pytest.approx(1.5 * grown)
    assert "rope_scaling" not in yarn(tmp_path, factor=1.0)
    with pytest.raises(UnsupportedError, match=r"yarn_ext_factor: is 0.5, and supported is -1 or 1"):
        yarn(tmp_path, yarn_ext_factor=0.5)
    with pytest.raises(FormatError, match=r"rope_scaling.factor: is NaN"):
        yarn(tmp_path, factor=float("nan"))


def attention_factor(config: dict[str, Any]) -> float:
    model = read_model(config)
    assert isinstance(model, Llama)
    return float(model.rotary.attention_factor)


def test_yarn_frequencies_are_those_of_llama_cpp(tmp_path: Path) -> None:
    """Its rope_yarn, written from its text: the angle is mixed by a ramp over the pairs."""
    model = read_model(yarn(tmp_path, original_context_length=512))
    assert isinstance(model, Llama)

    def turns(count: float) -> float:
        return float(HEAD_DIM * np.log(512 / (count * 2 * np.pi)) / (2 * np.log(10000.0)))

    low, high = max(0, np.floor(turns(32))), min(HEAD_DIM - 1, np.ceil(turns(1)))
    for pair, found in enumerate(model.rotary.inverse_frequencies):
        extrapolated = 10000.0 ** (-2 * pair / HEAD_DIM)
        mix = 1 - min(1, max(0, (pair - low) / max(0.001, high - low)))
        assert found == pytest.approx(extrapolated / 4 * (1 - mix) + extrapolated * mix, rel=1e-6)


def test_longrope(tmp_path: Path) -> None:
    arrays = random_arrays("llama")
    arrays["rope_factors_short.weight"] = np.linspace(1, 2, PAIRS, dtype=np.float32)
    arrays["rope_factors_long.weight"] = np.linspace(3, 9, PAIRS, dtype=np.float32)
    keys: dict[str, Any] = {
        ".rope.scaling.type": "longrope",
        ".rope.scaling.original_context_length": 64,
        ".rope.scaling.attn_factor": 1.25,
    }
    path = write_model(tmp_path / "m.gguf", changed=keys, arrays=arrays)
    model = read_model(GgufCheckpoint(path).config)
    assert isinstance(model, Llama)
    assert (model.dimensions.context, model.rotary.attention_factor) == (64, 1.25)
    expected = 10000.0 ** (-np.arange(PAIRS) / PAIRS) / np.linspace(1, 2, PAIRS)
    np.testing.assert_allclose(model.rotary.inverse_frequencies, expected, rtol=1e-6)
    with pytest.raises(UnsupportedError, match=r"scaling.type: is linear, and the file has rope_factors_long.weight"):
        GgufCheckpoint(write_model(path, arrays=arrays))
    del arrays["rope_factors_long.weight"]
    with pytest.raises(FormatError, match=r"rope_factors_long.weight: the tensor is missing"):
        GgufCheckpoint(write_model(path, changed=keys, arrays=arrays))


def test_factors_beside_scaling_are_both_used(tmp_path: Path) -> None:
    factors = np.linspace(1, 3, PAIRS, dtype=np.float32)
    model = read_model(config_of(tmp_path, factors, rope__scaling__type="linear", rope__scaling__factor=2.0))
    assert isinstance(model, Llama)
    expected = 10000.0 ** (-np.arange(PAIRS) / PAIRS) / factors / 2
    np.testing.assert_allclose(model.rotary.inverse_frequencies, expected, rtol=1e-6)


def test_sliding_window_makes_it_mistral(tmp_path: Path) -> None:
    config = config_of(tmp_path, attention__sliding_window=32)
    assert (config["model_type"], config["sliding_window"]) == ("mistral", 32)
    assert config["architectures"] == ["MistralForCausalLM"]
    assert config_of(tmp_path, attention__sliding_window=0)["model_type"] == "llama"


def test_one_value_for_each_layer(tmp_path: Path) -> None:
    same = config_of(tmp_path, feed_forward_length=[96, 96], attention__head_count_kv=[2, 2])
    assert (same["intermediate_size"], same["num_key_value_heads"]) == (96, 2)
    with pytest.raises(UnsupportedError, match=r"llama.feed_forward_length: differs from layer to layer"):
        config_of(tmp_path, feed_forward_length=[96, 48])
    with pytest.raises(FormatError, match=r"llama.feed_forward_length: .*must be an array of integers"):
        config_of(tmp_path, feed_forward_length=["a", "b"])


def test_a_pattern_of_windows(tmp_path: Path) -> None:
    every = config_of(tmp_path, attention__sliding_window=32, attention__sliding_window_pattern=[True, True])
    assert every["model_type"] == "mistral"
    for pattern in ([True, False], 2):
        with pytest.raises(UnsupportedError, match=r"sliding_window_pattern: a window in some of the layers only"):
            config_of(tmp_path, attention__sliding_window=32, attention__sliding_window_pattern=pattern)
    assert config_of(tmp_path, attention__sliding_window_pattern=[True, False])["model_type"] == "llama"


def test_defaults(tmp_path: Path) -> None:
    config = config_of(tmp_path, rope__freq_base=None)
    assert config["rope_theta"] == 10000.0
    assert config["head_dim"] == HEAD_DIM
    assert config["attention_bias"] is False
    with pytest.raises(FormatError, match=r"attn_k.proj|k_proj.weight: has shape"):
        config_of(tmp_path, attention__head_count_kv=None)  # then it is the number of heads


def test_head_width_of_its_own(tmp_path: Path) -> None:
    arrays = random_arrays("qwen3")
    for name in list(arrays):
        if ".attn_q.weight" in name or ".attn_k.weight" in name or ".attn_v.weight" in name:
            arrays[name] = np.concatenate([arrays[name]] * 2)
        elif ".attn_output.weight" in name:
            arrays[name] = np.concatenate([arrays[name]] * 2, axis=1)
        elif ("_norm.weight" in name and "attn_q" in name) or "attn_k_norm" in name:
            arrays[name] = np.concatenate([arrays[name]] * 2)
    changed = {".attention.key_length": 2 * HEAD_DIM, ".attention.value_length": 2 * HEAD_DIM}
    checkpoint = GgufCheckpoint(write_model(tmp_path / "m.gguf", "qwen3", changed=changed, arrays=arrays))
    assert checkpoint.config["head_dim"] == 2 * HEAD_DIM


@pytest.mark.parametrize(("value", "expected"), [(7, 7), (2**32 - 1, None), (10**6, None)])
def test_token_ids(tmp_path: Path, value: int, expected: int | None) -> None:
    path = write_model(tmp_path / "m.gguf", changed={"tokenizer.ggml.eos_token_id": value})
    assert GgufCheckpoint(path).config.get("eos_token_id") == expected
