"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.errors import FormatError, UnsupportedError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.table import Attention
from tiny_models import golden, reference_by_steps, reference_whole, tiny_config

FAMILIES = ["gpt2", "gpt2_variants", "gpt2_unscaled"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


@pytest.mark.parametrize("field", ["n_embd", "n_head", "vocab_size", "n_positions", "n_layer"])
def test_fields_by_the_names_of_the_family(field: str) -> None:
    config = {**tiny_config("gpt2"), field: 0}
    with pytest.raises(FormatError, match=f"c: {field}: is 0, but must be an integer from 1"):
        read_model(config, "c")


def test_attention_to_an_encoder_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="add_cross_attention is true"):
        read_model({**tiny_config("gpt2"), "add_cross_attention": True}, "c")


def test_the_scale_of_a_layer() -> None:
    def scales(**changes: bool) -> list[float]:
        graph = recorded(read_model({**tiny_config("gpt2"), **changes}))
        return [attention.spec.scale for attention in graph.operations(Attention)]

    assert scales() == [12**-0.5] * 2
    assert scales(scale_attn_by_inverse_layer_idx=True) == [12**-0.5, 12**-0.5 / 2]
    assert scales(scale_attn_weights=False) == [1.0, 1.0]
