"""What is trained by a pattern."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.full import Full
from honed.compress.training.settings import FullTraining
from honed.errors import ParameterError

WEIGHTS = {"a.norm.weight": torch.ones(3), "a.mlp.weight": torch.ones(2, 3)}


def test_weights_that_match_are_parameters_and_others_stay() -> None:
    made = Full(FullTraining(weights="*.mlp.*"), WEIGHTS)
    assert list(made.parameters) == ["a.mlp.weight"]
    found = made.weights()
    assert found["a.mlp.weight"] is made.parameters["a.mlp.weight"]
    assert found["a.norm.weight"] is WEIGHTS["a.norm.weight"]
    with torch.no_grad():
        made.parameters["a.mlp.weight"].add_(1)
    assert bool((WEIGHTS["a.mlp.weight"] == 1).all())
    assert made.penalty() is None and made.state() == {}


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"train.weights.*'\*.attn.\*'.*such as a.norm.weight"):
        Full(FullTraining(weights="*.attn.*"), WEIGHTS)
