"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from tiny_models import golden, reference_by_steps, reference_whole

FAMILIES = ["qwen3_moe", "qwen3_moe_mixed"]


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))
