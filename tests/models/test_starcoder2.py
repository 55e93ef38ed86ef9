"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.errors import FormatError
from honed.models.registry import read_model
from honed.models.starcoder2 import Starcoder2
from tiny_models import golden, reference_by_steps, reference_whole, tiny_config

FAMILIES = ["starcoder2", "starcoder2_variants"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_what_a_config_leaves_out() -> None:
    config = {name: value for name, value in tiny_config("starcoder2").items() if name != "num_key_value_heads"}
    model = read_model(config)
    assert isinstance(model, Starcoder2)
    assert (model.bias, model.window, model.config.tied, model.dimensions.kv_heads) == (True, None, True, 2)
    with pytest.raises(FormatError, match="num_key_value_heads: is 3, but must divide num_attention_heads 4"):
        read_model({**config, "num_key_value_heads": 3}, "c")
