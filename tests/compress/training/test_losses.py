"""Values and gradients against torch's own losses and autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from honed.compress.training import losses
from honed.compress.training.losses import NO_TOKEN, Counts, Headed, Sums, compare, judge, learn, next_tokens
from honed.compress.training.runner import Runner
from honed.compress.training.settings import LogitLoss
from tiny_models import golden
from training_models import tensors, tiny_state

ROWS, VOCABULARY = 70, 31  # more rows than are compared at a time


def rows() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(4)
    logits, aims = (3 * torch.randn(ROWS, VOCABULARY, generator=random) for _ in range(2))
    targets = torch.randint(0, VOCABULARY, (ROWS,), generator=random)
    targets[[5, 69]] = NO_TOKEN
    return logits.requires_grad_(), aims, targets


def by_torch(logits: Tensor, aims: Tensor, targets: Tensor, settings: LogitLoss) -> Tensor:
    own, wanted = ((x / settings.temperature).log_softmax(-1) for x in (logits, aims))
    distance = functional.kl_div(own, wanted, reduction="batchmean", log_target=True) * settings.temperature**2
    tokens = functional.cross_entropy(logits, targets, ignore_index=NO_TOKEN)
    return settings.distance * distance + settings.tokens * tokens


@pytest.mark.parametrize(
    "settings",
    [
        LogitLoss(),
        LogitLoss(temperature=2.5),
        LogitLoss(distance=0.0, tokens=1.0),
        LogitLoss(distance=0.7, temperature=0.5, tokens=0.3),
    ],
)
def test_gradients_are_those_of_autograd(settings: LogitLoss) -> None:
    logits, aims, targets = rows()
    by_torch(logits, aims, targets, settings).backward()  # type: ignore[no-untyped-call]
    counts = Counts(1 / ROWS, 1 / (ROWS - 2))
    sums, gradient = compare(logits.detach(), aims, targets, settings, counts)
    assert logits.grad is not None
    torch.testing.assert_close(gradient, logits.grad, atol=1e-7, rtol=1e-4)
    assert (sums.rows, sums.predicted) == (ROWS, ROWS - 2)


def test_sums_are_of_temperature_one_where_nothing_is_learned() -> None:
    logits, aims, targets = rows()
    sums, gradient = compare(logits.detach(), aims, targets, LogitLoss(), None)
    assert gradient.numel() == 0
    own = logits.detach()
    expected = functional.kl_div(own.log_softmax(-1), aims.log_softmax(-1), reduction="batchmean", log_target=True)
    assert sums.mean_distance == pytest.approx(float(expected), rel=1e-5)
    tokens = functional.cross_entropy(own, targets, ignore_index=NO_TOKEN)
    assert sums.mean_likelihood == pytest.approx(float(tokens), rel=1e-5)
    twice = Sums()
    twice.add(sums)
    twice.add(sums)
    assert (twice.mean_distance, twice.rows) == (sums.mean_distance, 2 * ROWS)
    alone, _ = compare(logits.detach(), None, targets, LogitLoss(), None)
    assert (alone.distance, alone.likelihood) == (0.0, sums.likelihood)


def test_the_token_behind_each() -> None:
    assert next_tokens(torch.tensor([[1, 2, 3], [4, 5, 6]])).tolist() == [2, 3, NO_TOKEN, 5, 6, NO_TOKEN]


@pytest.mark.parametrize("family", ["smollm2", "gemma2"])  # of the second, the head's result is bent by more ops
def test_a_head_in_chunks_learns_what_it_learns_at_once(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, tokens = tiny_state(family), torch.from_numpy(golden(family).tokens[:40]).long().reshape(1, 40)
    settings, targets = LogitLoss(tokens=0.5), next_tokens(tokens)
    runner, weights, aims = Runner(state.model, torch.float32), tensors(state), tensors(tiny_state(family))
    with torch.no_grad():
        for weight in aims.values():
            weight.mul_(1.1)
    rows = runner.rows(weights, tokens).rows
    entering = rows.detach().requires_grad_()
    with torch.no_grad():
        teacher = Headed(runner, aims, runner.rows(aims, tokens).rows)
        wanted = teacher.logits(slice(None))
    loss = by_torch(runner.logits(weights, entering), wanted, targets, settings)
    loss.backward()  # type: ignore[no-untyped-call]
    head = next(name for name in weights if weights[name].grad is not None and weights[name].dim() == 2)
    expected, of_head = entering.grad, weights[head].grad
    assert expected is not None and of_head is not None
    for one in weights.values():
        one.grad = None
    monkeypatch.setattr(losses, "CHUNK_BYTES", 1)  # so many rows as are compared at a time
    student = Headed(runner, weights, rows)
    sums, gradient = learn(student, teacher, targets, settings, share=0.25)
    torch.testing.assert_close(gradient, expected / 4, atol=1e-7, rtol=1e-3)
    torch.testing.assert_close(weights[head].grad, of_head / 4, atol=1e-6, rtol=1e-3)
    judged = judge(student, teacher, targets)
    assert judged.mean_distance == pytest.approx(sums.mean_distance, rel=1e-5)
    assert judged.mean_distance + 0.5 * judged.mean_likelihood == pytest.approx(float(loss.detach()), rel=1e-4)


def test_the_likelihood_and_its_gradients_are_those_of_transformers() -> None:
    import transformers

    state, tokens = tiny_state(), torch.from_numpy(golden("smollm2").tokens[:40]).long().reshape(2, 20)
    model = transformers.AutoModelForCausalLM.from_pretrained(golden("smollm2").checkpoint.path).eval().float()
    loss = model(tokens, labels=tokens).loss
    loss.backward()
    runner, weights = Runner(state.model, torch.float32), tensors(state)
    rows = runner.rows(weights, tokens).rows
    student = Headed(runner, weights, rows)
    sums, gradient = learn(student, None, next_tokens(tokens), LogitLoss(distance=0.0, tokens=1.0), share=1.0)
    rows.backward(gradient)  # type: ignore[no-untyped-call]
    assert sums.mean_likelihood == pytest.approx(float(loss.detach()), rel=1e-5)
    expected = dict(model.named_parameters())
    for name, weight in weights.items():
        assert weight.grad is not None
        size = float(expected[name].grad.abs().max())
        torch.testing.assert_close(weight.grad, expected[name].grad, atol=1e-4 * size, rtol=1e-3, msg=name)
