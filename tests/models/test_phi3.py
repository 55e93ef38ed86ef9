"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.models.phi3 import Phi3
from honed.models.registry import read_model
from tiny_models import golden, reference_by_steps, reference_whole, tiny_config

FAMILIES = ["phi3", "phi3_longrope"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_what_was_called_yarn_is_longrope() -> None:
    config = tiny_config("phi3_longrope")
    scaling = {name: value for name, value in config.pop("rope_parameters").items() if name != "rope_type"}
    older = {**config, "rope_scaling": {**scaling, "type": "yarn"}}
    assert read_model(older) == read_model(tiny_config("phi3_longrope"))


def test_the_context_ends_where_other_divisors_would_begin() -> None:
    assert read_model(tiny_config("phi3_longrope")).dimensions.context == 64
    assert read_model(tiny_config("phi3")).dimensions.context == 256


def test_a_part_of_a_head() -> None:
    model = read_model({**tiny_config("phi3"), "partial_rotary_factor": 0.5})
    assert isinstance(model, Phi3)
    assert len(model.rotary.inverse_frequencies) == 3
