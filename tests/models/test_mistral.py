"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from honed.errors import FormatError
from honed.models.mistral import Mistral
from tiny_models import golden, reference_by_steps, reference_whole

FAMILIES = ["mistral"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))


def test_a_window_left_out_is_that_of_the_first_release_and_null_is_none() -> None:
    config = {key: value for key, value in golden("mistral").checkpoint.config.items() if key != "sliding_window"}
    assert Mistral.from_config(config, "c").window == 4096
    assert Mistral.from_config({**config, "sliding_window": None}, "c").window is None
    with pytest.raises(FormatError, match="sliding_window"):
        Mistral.from_config({**config, "sliding_window": 0}, "c")
