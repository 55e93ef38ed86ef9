"""Logits of the torch reference against transformers, the prompt whole and token by token."""

from __future__ import annotations

import pytest

from tiny_models import FAMILIES, golden, reference_by_steps, reference_whole

NAMES = [family for family in FAMILIES if family.startswith("cohere")]


@pytest.mark.parametrize("family", NAMES)
def test_prefill_equals_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_whole(made))


@pytest.mark.parametrize("family", NAMES)
def test_steps_equal_transformers(family: str) -> None:
    made = golden(family)
    assert made.agrees(reference_by_steps(made))
