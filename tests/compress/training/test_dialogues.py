"""What a decoder learns of dialogues: the likelihood of the tokens that are its own, and of no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from honed.compress.training.dialogues import Dialogues
from honed.compress.training.examples import Example
from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Schedule
from honed.compress.training.runner import Runner
from honed.compress.training.settings import FittingSettings, FullTraining, OptimizerSettings
from training_models import tensors, tiny_state


def made_examples(count: int = 5) -> list[Example]:
    random, found = np.random.default_rng(3), []
    for length in random.integers(6, 20, count):
        tokens = random.integers(5, 97, length).astype(np.int32)
        places = np.sort(random.choice(np.arange(1, length), 3, replace=False)).astype(np.int32)
        found.append(Example(tokens, np.zeros_like(tokens), places, tokens[places].astype(np.int64)))
    return found


def training(examples: list[Example], **settings: Any) -> Dialogues:
    state = tiny_state()
    return Dialogues(
        FittingSettings(batch=len(examples), precision="float32", **settings),
        examples=examples,
        held_out=examples,
        runner=Runner(state.model, torch.float32),
        trained=Full(FullTraining(), {name: weight.detach() for name, weight in tensors(state).items()}),
        schedule=Schedule(OptimizerSettings(clip=1e9), 4, None, 1, 1),
        keeping=Keeping(None, ""),
        device=torch.device("cpu"),
    )


def expected_loss(made: Dialogues, examples: list[Example]) -> torch.Tensor:
    """Each dialogue by itself, as a window."""
    state, losses = tiny_state(), []
    runner = Runner(state.model, torch.float32)
    weights = made._weights()
    for one in examples:
        tokens = torch.from_numpy(one.tokens).long()[None]
        logits = runner.logits(weights, runner.rows(weights, tokens).rows)
        at = torch.from_numpy(one.places).long()
        losses.append(cross_entropy(logits[at - 1], tokens[0, at], reduction="none"))
    return torch.cat(losses).mean()


@pytest.mark.parametrize("together", [4096, 30])
def test_the_loss_and_its_gradient(together: int) -> None:
    examples = made_examples()
    made = training(examples, together=together)
    loss = expected_loss(made, examples)
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = {name: value.grad.clone() for name, value in made._trained.parameters.items() if value.grad is not None}
    found = made._one_step(0.5)
    assert found["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        torch.testing.assert_close(
            made._trained.parameters[name].grad, gradient, atol=1e-4 * largest, rtol=1e-3, msg=name
        )


def test_a_judgement() -> None:
    examples = made_examples()
    made = training(examples)
    with torch.no_grad():
        found, value = made._judgement()
        expected = float(expected_loss(made, examples))
    assert value == pytest.approx(expected, rel=1e-4)
    assert found["perplexity"] == pytest.approx(float(np.exp(expected)), rel=1e-3)
