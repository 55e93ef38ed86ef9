"""Fields that change a result and that no family here has: refused by name, unless they do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import HonedError, UnsupportedError
from honed.models.registry import read_model

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_multiplier", 0.5),
        ("embedding_multiplier", 12.0),
        ("residual_multiplier", 0.22),
        ("logits_scaling", 8),
        ("logit_scale", 0.0625),
        ("final_logit_softcapping", 30.0),
        ("attn_logit_softcapping", 50.0),
        ("clip_qkv", 8),
        ("use_qk_norm", True),
        ("alibi", True),
        ("num_experts", 8),
        ("num_local_experts", 8),
        ("no_rope_layers", [1, 1, 0, 1]),
        ("logit_scale", "a text"),
    ],
)
def test_what_would_change_the_result_is_refused(kind: str, name: str, value: Any) -> None:
    with pytest.raises(UnsupportedError, match=f"config: {name} is .* which a {kind} does not have: another model"):
        read_model(CONFIG | {"model_type": kind, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_multiplier", 1.0),
        ("logit_scale", None),
        ("attn_logit_softcapping", None),
        ("clip_qkv", None),
        ("use_qk_norm", False),
        ("alibi", False),
        ("num_experts", 0),
        ("num_local_experts", 1),
        ("no_rope_layers", []),
        ("pretraining_tp", 1),
        ("sliding_window", None),
        ("layer_types", ["full_attention"] * 2),
    ],
)
def test_what_does_nothing_is_let_pass(name: str, value: Any) -> None:
    assert read_model(CONFIG | {name: value}) == read_model(CONFIG)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    "types", [["sliding_attention", "full_attention"], ["linear_attention"] * 2, "full_attention", [7, 8], {}]
)
def test_kinds_of_layers_that_are_not_run_are_refused(kind: str, types: Any) -> None:
    with pytest.raises(HonedError, match="layer_types"):
        read_model(CONFIG | {"model_type": kind, "layer_types": types})


def test_layers_of_mistral_all_slide() -> None:
    config = CONFIG | {"model_type": "mistral", "sliding_window": 8}
    assert read_model(config | {"layer_types": ["sliding_attention"] * 2}) == read_model(config)
    full = CONFIG | {"model_type": "mistral", "sliding_window": None}
    assert read_model(full | {"layer_types": ["full_attention"] * 2}) == read_model(full)


def test_a_field_of_a_megabyte_is_not_repeated() -> None:
    for name in ("model_type", "hidden_act", "layer_types", "logit_scale", "hidden_size"):
        with pytest.raises(HonedError) as caught:
            read_model(CONFIG | {name: "x" * (1 << 20)})
        assert len(str(caught.value)) < 500
