from __future__ import annotations

import pytest

from honed.models.registry import read_model
from tiny_models import FAMILIES, golden


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_names_exactly_the_weights_that_transformers_saves(family: str) -> None:
    checkpoint = golden(family).checkpoint
    weights = read_model(checkpoint.config, checkpoint.path).weights()
    assert {name: weight.shape for name, weight in weights.items()} == {
        name: checkpoint.weight(name).shape for name in checkpoint.names
    }
