"""Layers of queries and keys are found behind whatever stands between them and attention."""

from __future__ import annotations

import pytest

from honed.compress.attention_scores import find_score_layers
from honed.models.registry import read_any, read_model
from tiny_models import tiny_config


@pytest.mark.parametrize("family", ["llama2", "qwen3", "olmo2", "smollm3", "cohere", "gpt2"])
def test_queries_and_keys_of_every_layer(family: str) -> None:
    model = read_model(tiny_config(family))
    found = find_score_layers(model)
    ends = ("attn.q_proj.weight", "attn.k_proj.weight")
    assert found == {name for name in model.weights() if name.endswith(ends)}
    assert len(found) == 2 * model.dimensions.layers


def test_of_an_encoder_too() -> None:
    found = find_score_layers(
        read_any(
            {
                "model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32, "type_vocab_size": 2,
                "hidden_act": "gelu", "layer_norm_eps": 1e-12,
            }
        )
    )  # fmt: skip
    assert {name.rsplit(".", 2)[-2] for name in found} == {"query", "key"}
