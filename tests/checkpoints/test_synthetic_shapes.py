from __future__ import annotations

import math

import pytest

from honed.checkpoints.synthetic_shapes import SHAPES
from honed.models.registry import read_model


def values(shape: str) -> int:
    return sum(math.prod(extents) for _, extents, _ in SHAPES[shape].tensors())


def test_shapes_in_billions_are_what_their_names_say() -> None:
    assert values("llama-1.1b") == 1_100_048_384, "of TinyLlama-1.1B, which has this shape"
    assert values("granite-moe-1b") == 1_334_628_352, "of Granite 3.0 1B-A400M, which has this shape"


def test_active_weights_of_the_mixture() -> None:
    """Beside its table, with 8 of 32 experts: the 400 million of its name."""
    config = SHAPES["granite-moe-1b"].config
    experts = 24 * 32 * 3 * 512 * 1024
    read = values("granite-moe-1b") - experts * 24 // 32
    assert read == pytest.approx(430e6, rel=0.02)
    assert config["num_experts_per_tok"] / config["num_local_experts"] == 8 / 32


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_a_model(shape: str) -> None:
    model = read_model(SHAPES[shape].config)
    assert sum(math.prod(weight.shape) for weight in model.weights().values()) == values(shape)


def test_deviations_divide_out_what_the_model_multiplies_by() -> None:
    found = {name: deviation for name, _, deviation in SHAPES["granite-moe-1b"].tensors()}
    assert found["model.embed_tokens.weight"] == pytest.approx(6 / 32), "logits are divided by 6"
    assert found["model.layers.3.self_attn.q_proj.weight"] == pytest.approx(8**0.5 / 32), "scores by 64 and not by 8"
    added = 12 * 6 / 0.22 / 48**0.5
    assert found["model.layers.3.self_attn.o_proj.weight"] == pytest.approx(added / 32)
    down = found["model.layers.3.block_sparse_moe.output_linear.weight"]
    assert down == pytest.approx(added / 512**0.5 * 8**0.5), "the mean of 8"
    assert found["model.layers.3.input_layernorm.weight"] is None
