"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.errors import FormatError
from honed.models.gpt_neox import GptNeox
from honed.models.registry import read_model
from tiny_models import golden, reference_by_steps, reference_whole, tiny_config

FAMILIES = ["gpt_neox", "gpt_neox_sequential"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_older_names_of_the_rotation() -> None:
    sizes = {name: value for name, value in tiny_config("gpt_neox").items() if name != "rope_parameters"}
    older = read_model({**sizes, "rotary_pct": 0.5, "rotary_emb_base": 500})
    newer = read_model({**sizes, "rope_parameters": {"rope_theta": 500, "partial_rotary_factor": 0.5}})
    assert older == newer
    assert isinstance(older, GptNeox)
    assert len(older.rotary.inverse_frequencies) == 3
    with pytest.raises(FormatError, match="gives 3 of head_dim 12"):
        read_model(sizes, "c")  # a quarter of a head of 12


@pytest.mark.parametrize("value", [0, 1.5, "half"])
def test_a_part_that_is_none(value: object) -> None:
    with pytest.raises(FormatError, match=r"rotary_pct: .*must be a number over 0 and at most 1"):
        read_model({**tiny_config("gpt_neox"), "rotary_pct": value}, "c")
