"""LoRA merged is LoRA applied, and starts as nothing."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.low_rank import LowRank
from honed.compress.training.settings import LowRankTraining
from honed.errors import ParameterError

WEIGHTS = {"a.mlp.weight": torch.randn(6, 4), "a.attn.weight": torch.randn(4, 4), "norm": torch.ones(4)}
MATRICES = ("a.mlp.weight", "a.attn.weight")


def lora(pattern: str = "*.mlp.*", rank: int = 2) -> LowRank:
    return LowRank(LowRankTraining(method="lora", weights=pattern, rank=rank, alpha=3.0), WEIGHTS, MATRICES, seed=7)


def test_merged_gives_what_is_applied_beside() -> None:
    made = lora()
    for name, weight in made.weights().items():
        assert torch.equal(weight, WEIGHTS[name])
    a, b = made.parameters["a.mlp.weight a"], made.parameters["a.mlp.weight b"]
    assert (a.shape, b.shape) == ((2, 4), (6, 2))
    x = torch.randn(5, 4)
    with torch.no_grad():
        b.normal_()
        beside = x @ WEIGHTS["a.mlp.weight"].T + 3.0 / 2 * (x @ a.T) @ b.T
        torch.testing.assert_close(x @ made.weights()["a.mlp.weight"].T, beside)
        assert torch.equal(made.weights()["a.attn.weight"], WEIGHTS["a.attn.weight"])


def test_gradients_reach_the_factors_only() -> None:
    made = lora()
    made.weights()["a.mlp.weight"].square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(value.grad is not None for value in made.parameters.values())
    assert WEIGHTS["a.mlp.weight"].grad is None


def test_the_seed_makes_the_start_and_the_matrix_bounds_the_rank() -> None:
    assert torch.equal(lora().parameters["a.mlp.weight a"], lora().parameters["a.mlp.weight a"])
    assert lora(rank=64).parameters["a.mlp.weight a"].shape == (4, 4)
    with pytest.raises(ParameterError, match=r"matches no matrix of a linear layer, such as a\.mlp\.weight"):
        lora("norm")
