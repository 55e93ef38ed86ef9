"""Models as keys, against those of llama.cpp's converter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.checkpoints.gguf.model_keys import model_keys, rotary_factors
from honed.errors import UnsupportedError
from honed.models.registry import FAMILIES, read_model
from honed.models.samples import sample_configs


def keys_of(model_type: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    config = {**sample_configs(FAMILIES[model_type])[number], **fields}
    prefix = f"{FAMILIES[model_type].gguf.architecture}."  # type: ignore[union-attr]
    found = model_keys(FAMILIES[model_type], config, read_model(config))
    return {key.removeprefix(prefix): value for key, value in found.items()}


def test_keys_of_a_llama() -> None:
    assert keys_of("llama", rms_norm_eps=1e-5, rope_theta=500000.0) == {
        "general.architecture": "llama",
        "context_length": 128,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "block_count": 2,
        "vocab_size": 97,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": 16,
        "rope.freq_base": 500000.0,
    }


@pytest.mark.parametrize(
    ("model_type", "base"), [("cohere", 5e5), ("gemma3_text", 1e6), ("mixtral", 1e6), ("smollm3", 2e6), ("llama", 1e4)]
)
def test_a_base_that_no_config_states_is_that_of_the_family(model_type: str, base: float) -> None:
    assert keys_of(model_type)["rope.freq_base"] == base


def test_what_only_some_families_have() -> None:
    granite = keys_of("granite")
    assert (granite["embedding_scale"], granite["residual_scale"]) == (12.0, 0.22)
    assert (granite["logit_scale"], granite["attention.scale"]) == (8.0, 0.0625)
    assert keys_of("cohere")["logit_scale"] == 0.0625
    gemma = keys_of("gemma2")
    assert (gemma["attn_logit_softcapping"], gemma["final_logit_softcapping"]) == (50.0, 30.0)
    assert keys_of("gemma3_text")["rope.freq_base_swa"] == 10000.0
    experts = keys_of("qwen3_moe")
    assert experts["expert_count"] > experts["expert_used_count"] > 0
    assert keys_of("gpt_oss")["expert_feed_forward_length"] == 96  # which llama.cpp requires
    assert keys_of("phi3")["attention.sliding_window"] == 7


def test_yarn_is_said_with_its_factor_and_original_context() -> None:
    keys = keys_of("llama", 2)
    assert keys["rope.scaling.type"] == "yarn"
    assert (keys["rope.scaling.factor"], keys["rope.scaling.original_context_length"]) == (4.0, 32)
    assert "rope.scaling.attn_factor" not in keys
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "attention_factor": 1.0}
    keys = keys_of("llama", rope_scaling=scaling)
    assert keys["rope.scaling.attn_factor"] == pytest.approx(1 / (0.1 * np.log(4) + 1))


def test_llama3_becomes_divisors() -> None:
    config = sample_configs(FAMILIES["llama"])[1]
    factors = rotary_factors(config, read_model(config))["rope_freqs.weight"]
    # Short wavelengths are kept, long ones divided by the factor 8, those between blended.
    assert factors.dtype == np.float32 and len(factors) == 8
    np.testing.assert_allclose([factors[0], factors[-1]], [1, 8], rtol=1e-5)
    assert (np.diff(factors) > -1e-5).all()


def test_longrope_becomes_two_lists() -> None:
    config = sample_configs(FAMILIES["phi3"])[1]
    factors = rotary_factors(config, read_model(config))
    assert factors["rope_factors_short.weight"].tolist() == [1.0, 1.25, 1.5, 2.0]
    assert factors["rope_factors_long.weight"].tolist() == [2.0, 2.5, 3.0, 4.0]


def test_a_scaling_without_keys_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="rope_type 'dynamic'"):
        keys_of("llama", rope_scaling={"rope_type": "dynamic", "factor": 2.0})
