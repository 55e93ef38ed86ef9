"""Training against the reference, for every family: the same logits and gradients; in bfloat16, nearly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from honed.compress.base import ModelState
from honed.compress.training.meanings import window_step
from honed.compress.training.runner import Runner
from honed.models.programs import LOGITS
from honed.models.recorded import recorded
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.values import TOKENS
from tiny_models import FAMILIES, golden
from training_models import tensors, tiny_state

WINDOWS, LENGTH = 2, 20


def by_reference(state: ModelState, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    weights = tensors(state)
    rows = Rows(
        {TOKENS: tokens.reshape(-1)},
        torch.arange(LENGTH).repeat(WINDOWS),
        torch.arange(WINDOWS).repeat_interleave(LENGTH),
        torch.arange(WINDOWS * LENGTH),
    )
    logits = run(recorded(state.model), Step(weights, rows, GrowingStore()))[LOGITS]
    aimed(logits).backward()  # type: ignore[no-untyped-call]
    return logits.detach(), weights


def aimed(logits: Tensor) -> Tensor:
    """A loss that every logit has a part in."""
    return (logits.float().log_softmax(-1) * torch.linspace(0, 1, logits.shape[-1])).sum(-1).mean()


def tokens_of(family: str) -> Tensor:
    return torch.from_numpy(golden(family).tokens[: WINDOWS * LENGTH]).long().reshape(WINDOWS, LENGTH)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_logits_and_gradients_of_the_reference(family: str) -> None:
    state, tokens = tiny_state(family), tokens_of(family)
    expected, of_reference = by_reference(state, tokens)
    weights, runner = tensors(state), Runner(state.model, torch.float32)
    logits = runner.logits(weights, runner.rows(weights, tokens).rows)
    spread = float(expected.max() - expected.min())
    torch.testing.assert_close(logits.detach(), expected, atol=1e-5 * spread, rtol=1e-5)
    aimed(logits).backward()  # type: ignore[no-untyped-call]
    # Of a key's bias without rotation no gradient is left but errors of rounding.
    largest = max(float(weight.grad.abs().max()) for weight in of_reference.values() if weight.grad is not None)
    for name, weight in of_reference.items():
        assert (weight.grad is None) is (weights[name].grad is None), name
        if weight.grad is not None:
            atol = 2e-4 * float(weight.grad.abs().max()) + 1e-6 * largest
            torch.testing.assert_close(weights[name].grad, weight.grad, atol=atol, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", ["smollm2", "gemma2", "gpt_oss", "mixtral"])
def test_bfloat16_stays_near(family: str) -> None:
    state, tokens = tiny_state(family), tokens_of(family)
    weights, found = tensors(state), []
    for dtype in (torch.float32, torch.bfloat16):
        runner = Runner(state.model, dtype)
        with torch.no_grad():
            found.append(runner.logits(weights, runner.rows(weights, tokens).rows).float())
    assert not torch.equal(*found)
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.03


def test_maps_are_what_rows_attend_to() -> None:
    state, tokens = tiny_state(), tokens_of("smollm2")
    weights, runner = tensors(state), Runner(state.model, torch.float32)
    maps = runner.rows(weights, tokens, maps=True).maps
    assert [tuple(one.shape) for one in maps] == [(WINDOWS, LENGTH, LENGTH)] * 2
    for one in maps:
        torch.testing.assert_close(one.sum(-1), torch.ones(WINDOWS, LENGTH))
        assert not one.triu(1).any()
    assert window_step(weights, tokens, torch.float32).maps is None
