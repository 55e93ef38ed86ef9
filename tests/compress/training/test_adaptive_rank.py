"""AdaLoRA gives up what the loss does not feel, until its budget is left."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.adaptive_rank import AdaptiveRank
from honed.compress.training.settings import AdaptiveRankTraining

WEIGHTS = {"felt.weight": torch.zeros(8, 8), "idle.weight": torch.zeros(8, 8)}


def make(orthogonality: float = 0.1) -> AdaptiveRank:
    settings = AdaptiveRankTraining(
        method="adalora", rank=2, initial_rank=4, alpha=2.0, from_progress=0.0, orthogonality=orthogonality
    )
    return AdaptiveRank(settings, WEIGHTS, tuple(WEIGHTS), seed=3)


def trained(made: AdaptiveRank, steps: int = 30) -> None:
    """The loss is about one of the matrices alone, and asks for a matrix of rank 2."""
    torch.manual_seed(1)
    aim = torch.randn(8, 2) @ torch.randn(2, 8)
    optimizer = torch.optim.Adam(list(made.parameters.values()), lr=0.05)
    for step in range(steps):
        optimizer.zero_grad()
        loss = (made.weights()["felt.weight"] - aim).square().mean() + 0 * made.weights()["idle.weight"].sum()
        loss.backward()  # type: ignore[no-untyped-call]
        made.after_backward(step / steps)
        optimizer.step()
        made.after_step()


def test_the_budget_goes_where_the_loss_is() -> None:
    made = make(orthogonality=0.0)  # which is felt too
    assert made.penalty() is None
    assert made.ranks == {"felt.weight": 4, "idle.weight": 4}
    trained(made)
    assert made.ranks == {"felt.weight": 4, "idle.weight": 0}
    assert not made.weights()["idle.weight"].any()
    left = torch.linalg.matrix_rank(made.weights()["felt.weight"].detach())
    assert 1 <= int(left) <= 4


def test_the_penalty_is_how_far_factors_are_from_orthogonal() -> None:
    made = make()
    parts = [made.parameters[f"{name} {part}"].detach() for name in WEIGHTS for part in "pq"]
    squares = [x.T @ x if x.shape[0] > x.shape[1] else x @ x.T for x in parts]
    expected = sum(float((square - torch.eye(4)).square().sum()) for square in squares) / 2 * 0.1
    penalty = made.penalty()
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)


def test_what_it_remembers_makes_it_go_on() -> None:
    made, again = make(), make()
    trained(made, 10)
    again.restore({name: value.clone() for name, value in made.state().items()})
    assert again.ranks == made.ranks
    assert again.state().keys() == made.state().keys()
    for name, value in made.state().items():
        assert torch.equal(again.state()[name], value)
