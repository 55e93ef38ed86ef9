"""Encoders in training against the reference, for every family with a head: the same logits and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from honed.checkpoints.open import open_checkpoint
from honed.compress.training.encoder_runner import EncoderRunner, pooling_of
from honed.compress.training.meanings import Texts
from honed.errors import UnsupportedError
from honed.models.recorded import encoding
from honed.models.registry import read_encoder
from honed.ops.reference import GrowingStore, Rows, Step, run
from honed.ops.values import TOKEN_TYPES, TOKENS
from tiny_encoders import HEADED, LENGTHS, golden_encoder

TRAINABLE = [family for family in HEADED if "vocabulary" not in family]


def leaves(family: str) -> tuple[EncoderRunner, dict[str, Tensor]]:
    checkpoint = open_checkpoint(str(golden_encoder(family).directory))
    model = read_encoder(checkpoint.config, checkpoint.path)
    weights = {name: torch.tensor(checkpoint.weight(name).decode()).requires_grad_() for name in model.weights()}
    return EncoderRunner(model, torch.float32), weights


def texts_of(family: str, lengths: tuple[int, ...] = LENGTHS) -> Texts:
    made, count = golden_encoder(family), sum(lengths)
    tokens, types = (torch.from_numpy(ids).long()[:count] for ids in (made.tokens, made.types))
    return Texts(tokens, types, lengths, torch.arange(count))


def aimed(logits: Tensor) -> Tensor:
    """A loss that every logit has a part in."""
    return (logits * torch.linspace(-1, 1, logits.numel()).reshape(logits.shape)).sum() + logits.square().sum()


@pytest.mark.parametrize("family", TRAINABLE)
def test_every_family_gives_the_logits_and_gradients_of_the_reference(family: str) -> None:
    made = golden_encoder(family)
    (runner, own), (_, expected) = leaves(family), leaves(family)
    texts = texts_of(family)
    logits = runner.logits(own, runner.entering(own, texts))
    assert made.head_agrees(logits.detach().numpy())
    aimed(logits).backward()  # type: ignore[no-untyped-call]
    checkpoint = open_checkpoint(str(made.directory))
    graph = encoding(read_encoder(checkpoint.config, checkpoint.path), runner.result)
    rows = Rows.whole({TOKENS: texts.tokens, TOKEN_TYPES: texts.types}, LENGTHS)
    aimed(run(graph, Step(expected, rows, GrowingStore()))[runner.result]).backward()  # type: ignore[no-untyped-call]
    largest = max(float(weight.grad.abs().max()) for weight in expected.values() if weight.grad is not None)
    for name, weight in expected.items():
        assert (weight.grad is None) is (own[name].grad is None), name
        if weight.grad is not None:
            torch.testing.assert_close(own[name].grad, weight.grad, atol=2e-5 * largest, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", ["bert_classes", "modernbert_tags"])
def test_texts_of_one_length_are_as_those_of_several(family: str) -> None:
    runner, weights = leaves(family)
    with torch.no_grad():
        alike = runner.logits(weights, runner.entering(weights, texts_of(family, (9, 9))))
        first = runner.logits(weights, runner.entering(weights, texts_of(family, (9,))))
        among = runner.logits(weights, runner.entering(weights, texts_of(family, (9, 9, 20))))
    torch.testing.assert_close(alike[: len(first)], first)
    torch.testing.assert_close(among[: len(alike)], alike)


def test_rows_that_are_asked_for() -> None:
    runner, weights = leaves("bert_tags")
    texts = texts_of("bert_tags")
    some = Texts(texts.tokens, texts.types, texts.lengths, torch.tensor([3, 8, 41]))
    with torch.no_grad():
        torch.testing.assert_close(runner.entering(weights, some), runner.entering(weights, texts)[some.selected])


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("bert_classes", "first"), ("modernbert_classes_mean", "mean"), ("roberta_tags", None)],
)
def test_what_a_head_is_made_of(family: str, pooling: str | None) -> None:
    checkpoint = open_checkpoint(str(golden_encoder(family).directory))
    assert pooling_of(read_encoder(checkpoint.config)) == pooling


def test_the_weights_of_a_head() -> None:
    assert leaves("roberta_classes")[0].head_weights == {
        "classifier.dense.weight",
        "classifier.dense.bias",
        "classifier.out_proj.weight",
        "classifier.out_proj.bias",
    }


def test_a_model_without_labels_is_refused() -> None:
    checkpoint = open_checkpoint(str(golden_encoder("bert").directory))
    with pytest.raises(UnsupportedError, match="has no head of classes or tags"):
        EncoderRunner(read_encoder(checkpoint.config), torch.float32)
