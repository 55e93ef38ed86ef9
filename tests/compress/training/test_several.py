"""A method for a body, and a head that is trained itself."""

from __future__ import annotations

import torch

from honed.compress.training.low_rank import LowRank
from honed.compress.training.settings import LowRankTraining
from honed.compress.training.several import WithHead


def test_both_are_trained() -> None:
    weights = {name: torch.randn(4, 4) for name in ("body", "other", "head")}
    low = LowRank(LowRankTraining(method="lora", rank=2), weights, ["body"], 0)
    trained = WithHead(low, weights, ["head"])
    assert set(trained.parameters) == {"body a", "body b", "head"}
    sum(weight.square().sum() for weight in trained.weights().values()).backward()  # type: ignore[union-attr]
    assert all(value.grad is not None for name, value in trained.parameters.items() if name != "body a")
    with torch.no_grad():
        trained.parameters["head"].add_(1)
        trained.parameters["body b"].add_(1)
    made = trained.weights()
    torch.testing.assert_close(made["head"], weights["head"] + 1)
    assert not torch.equal(made["body"], weights["body"])
    assert made["other"] is weights["other"]
    assert torch.equal(weights["head"] + 1, made["head"])  # what it began with is not touched


def test_a_head_alone() -> None:
    weights = {name: torch.randn(2, 2) for name in ("body", "head")}
    trained = WithHead(None, weights, ["head"])
    assert set(trained.parameters) == {"head"}
    assert trained.weights()["body"] is weights["body"]
    assert trained.penalty() is None
    assert trained.state() == {}
