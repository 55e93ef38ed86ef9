"""Rates over a training, and which parameters decay."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.optimizer import make_optimizer, rate_at, set_rate
from honed.compress.training.settings import OptimizerSettings

SETTINGS = OptimizerSettings(rate=0.1, warm_up=0.2, last=0.1, decay=0.5)


def test_rates_rise_then_fall_along_a_cosine() -> None:
    assert rate_at(SETTINGS, 0.0) == pytest.approx(0.002)
    assert rate_at(SETTINGS, 0.1) == pytest.approx(0.05)
    assert rate_at(SETTINGS, 0.2) == pytest.approx(0.1)
    assert rate_at(SETTINGS, 0.6) == pytest.approx(0.055)
    assert rate_at(SETTINGS, 1.0) == pytest.approx(0.01)
    assert rate_at(SETTINGS, 1.5) == pytest.approx(0.01)
    assert rate_at(OptimizerSettings(rate=0.1, warm_up=0.0), 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adafactor", torch.optim.Adafactor)])
def test_matrices_decay_and_vectors_do_not(name: str, kind: type[torch.optim.Optimizer]) -> None:
    settings = SETTINGS.model_copy(update={"name": name})
    made = make_optimizer(settings, {"matrix": torch.ones(2, 2), "vector": torch.ones(2)})
    assert isinstance(made, kind)
    matrices, vectors = made.param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.5, 0.0)
    assert (len(matrices["params"]), len(vectors["params"])) == (1, 1)
    set_rate(made, 0.25)
    assert {group["lr"] for group in made.param_groups} == {0.25}
