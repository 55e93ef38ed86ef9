"""Rows behind layers, logits of some rows, and blocks that are computed twice."""

from __future__ import annotations

import pytest
import torch

from honed.compress.training.runner import Runner
from honed.errors import UnsupportedError
from tiny_encoder import TinyEncoder
from tiny_models import golden
from training_models import tensors, tiny_state

FAMILIES = ["smollm2", "gpt_neox", "gemma2", "mixtral", "opt", "cohere2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpointing_changes_no_bit(family: str) -> None:
    state, tokens = tiny_state(family), torch.from_numpy(golden(family).tokens[:24]).long().reshape(2, 12)
    found = []
    for checkpointing in (False, True):
        weights = tensors(state)
        runner = Runner(state.model, torch.float32, checkpointing=checkpointing)
        passed = runner.rows(weights, tokens, layers=frozenset({0, runner.layers - 1}))
        means = torch.stack([rows.mean() for rows in passed.layers.values()])
        loss = runner.logits(weights, passed.rows).square().mean() + means.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), {name: weight.grad for name, weight in weights.items()}))
    (loss, plain), (again, twice) = found
    assert torch.equal(loss, again)
    for name, gradient in plain.items():
        other = twice[name]
        assert (gradient is None and other is None) or (
            gradient is not None and other is not None and torch.equal(gradient, other)
        ), name


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_the_hidden_states_of_transformers(family: str) -> None:
    import transformers

    state, tokens = tiny_state(family), torch.from_numpy(golden(family).tokens[:12]).long()[None]
    model = transformers.AutoModelForCausalLM.from_pretrained(golden(family).checkpoint.path).eval().float()
    with torch.no_grad():
        expected = model(tokens, output_hidden_states=True).hidden_states
    runner = Runner(state.model, torch.float32)
    weights = {name: weight.detach() for name, weight in tensors(state).items()}
    passed = runner.rows(weights, tokens, layers=frozenset(range(runner.layers)))
    assert runner.layers == state.model.dimensions.layers == len(expected) - 1
    assert runner.widths == tuple(rows.shape[-1] for rows in passed.layers.values())
    for layer in range(runner.layers - 1):  # transformers gives the last one normed
        torch.testing.assert_close(passed.layers[layer], expected[layer + 1][0], atol=1e-4, rtol=1e-3)


def test_some_rows_have_the_logits_that_they_have_among_all() -> None:
    state, tokens = tiny_state(), torch.from_numpy(golden("smollm2").tokens[:12]).long()[None]
    weights, runner = tensors(state), Runner(state.model, torch.float32)
    with torch.no_grad():
        rows = runner.rows(weights, tokens).rows
        every = runner.logits(weights, rows)
        torch.testing.assert_close(runner.logits(weights, rows[3:7]), every[3:7])
    expected = torch.from_numpy(golden("smollm2").logits[:12])
    torch.testing.assert_close(every, expected, atol=1e-4 * float(expected.max() - expected.min()), rtol=1e-4)
    assert runner.vocabulary == every.shape[-1]


def test_a_model_without_logits_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="TinyEncoder: gives no logits"):
        Runner(TinyEncoder(), torch.float32)
