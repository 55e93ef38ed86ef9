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
from honed.models.registry import read_model

PAIRS = HEAD_DIM // 2


def config_of(
    tmp_path: Path, factors: NDArray[Any] | None = None, **changed: int | float | str | None
) -> dict[str, Any]:
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


def test_sliding_window_makes_it_mistral(tmp_path: Path) -> None:
    config = config_of(tmp_path, attention__sliding_window=32)
    assert (config["model_type"], config["sliding_window"]) == ("mistral", 32)
    assert config["architectures"] == ["MistralForCausalLM"]
    assert config_of(tmp_path, attention__sliding_window=0)["model_type"] == "llama"


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
