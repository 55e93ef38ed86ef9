"""What is learned of labelled texts: losses against formulas of torch, and parts that add up to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from honed.checkpoints.open import open_checkpoint
from honed.compress.training.encoder_runner import EncoderRunner
from honed.compress.training.examples import Example
from honed.compress.training.fitting import Fitting, Kind, Task
from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Schedule
from honed.compress.training.settings import FittingSettings, FullTraining, OptimizerSettings
from honed.models.registry import read_encoder
from tiny_encoders import golden_encoder

LABELS = {"bert_classes": 3, "distilbert_tags": 5}


def made_examples(family: str, count: int = 7, *, several: bool = False, aims: bool = False) -> list[Example]:
    random, labels, found = np.random.default_rng(3), LABELS[family], []
    for length in random.integers(3, 20, count):
        tokens = random.integers(5, 97, length).astype(np.int32)
        places = np.arange(1, length - 1, 2, dtype=np.int32) if "tags" in family else np.zeros(0, np.int32)
        targets: Any = random.integers(0, labels, len(places) if "tags" in family else 1)
        if several:
            targets = random.integers(0, 2, labels).astype(np.float32)
        rows = max(len(places), 1)
        said = random.standard_normal((rows, labels)).astype(np.float32) if aims else None
        found.append(Example(tokens, np.zeros_like(tokens), places, targets, said))
    return found


def fitting(family: str, examples: list[Example], kind: Kind = "one", **settings: Any) -> Fitting:
    checkpoint = open_checkpoint(str(golden_encoder(family).directory))
    model = read_encoder(checkpoint.config)
    weights = {name: torch.tensor(checkpoint.weight(name).decode()) for name in model.weights()}
    return Fitting(
        FittingSettings(batch=len(examples), precision="float32", **settings),
        task=Task(kind, examples, examples, lambda logits: {"score": 1.0}),
        runner=EncoderRunner(model, torch.float32),
        trained=Full(FullTraining(), weights),
        schedule=Schedule(OptimizerSettings(clip=1e9), 4, None, 1, 1),
        keeping=Keeping(None, ""),
        device=torch.device("cpu"),
    )


def gradients(made: Fitting) -> dict[str, torch.Tensor]:
    made._one_step(0.5)
    return {name: value.grad for name, value in made._trained.parameters.items() if value.grad is not None}


@pytest.mark.parametrize("family", LABELS)
def test_parts_give_the_gradient_of_the_whole(family: str) -> None:
    examples = made_examples(family)
    whole, parted = (gradients(fitting(family, examples, together=together)) for together in (4096, 24))
    assert whole
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parted[name], gradient, atol=1e-5 * largest, rtol=1e-3, msg=name)


def loss_of(made: Fitting, examples: list[Example]) -> tuple[float, torch.Tensor]:
    weights = made._weights()
    logits = torch.cat([made._logits(weights, [one]) for one in examples]).detach()
    return made._learn(weights)["loss"], logits


def test_the_loss_of_one_label() -> None:
    examples = made_examples("distilbert_tags")
    found, logits = loss_of(fitting("distilbert_tags", examples), examples)
    targets = torch.from_numpy(np.concatenate([one.targets for one in examples]))
    assert found == pytest.approx(float(cross_entropy(logits, targets)), rel=1e-5)


def test_the_loss_of_several_labels() -> None:
    examples = made_examples("bert_classes", several=True)
    found, logits = loss_of(fitting("bert_classes", examples, "several"), examples)
    targets = torch.from_numpy(np.stack([one.targets for one in examples]))
    assert found == pytest.approx(float(binary_cross_entropy_with_logits(logits, targets)), rel=1e-5)


def test_the_loss_with_a_teacher() -> None:
    examples = made_examples("bert_classes", aims=True)
    made = fitting("bert_classes", examples, teacher=0.25, temperature=3.0)
    found, logits = loss_of(made, examples)
    targets = torch.from_numpy(np.concatenate([one.targets for one in examples]))
    aims = torch.from_numpy(np.concatenate([one.aims for one in examples if one.aims is not None]))
    wanted, own = (aims / 3).softmax(-1), (logits / 3).softmax(-1)
    distance = 9 * (wanted * (wanted / own).log()).sum(-1).mean()
    expected = 0.75 * cross_entropy(logits, targets) + 0.25 * distance
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_the_distance_of_several_labels_is_that_of_each() -> None:
    examples = made_examples("bert_classes", several=True, aims=True)
    found, logits = loss_of(fitting("bert_classes", examples, "several", teacher=1.0, temperature=1.0), examples)
    aims = torch.from_numpy(np.concatenate([one.aims for one in examples if one.aims is not None])).sigmoid()
    own = logits.sigmoid()
    expected = aims * (aims / own).log() + (1 - aims) * ((1 - aims) / (1 - own)).log()
    assert found == pytest.approx(float(expected.mean()), rel=1e-4)


def test_rows_that_are_known_are_not_computed() -> None:
    examples = made_examples("bert_classes")
    made = fitting("bert_classes", examples)
    with torch.no_grad():
        weights = made._weights()
        expected = made._logits(weights, examples)
        from honed.compress.training.examples import as_texts

        rows = made._runner.entering(weights, as_texts(examples, torch.device("cpu"))).numpy()
        known = [replace(one, rows=rows[[number]]) for number, one in enumerate(examples)]
        torch.testing.assert_close(made._logits({"nothing": torch.zeros(1)} | weights, known), expected)


def test_a_sentence_without_a_labelled_token_is_nothing() -> None:
    examples = made_examples("distilbert_tags")
    none = np.zeros(0, np.int32)
    empty = replace(examples[0], places=none, targets=none.astype(np.int64))
    alone, among = fitting("distilbert_tags", [empty]), fitting("distilbert_tags", [empty, *examples], together=24)
    assert alone._one_step(0.5)["loss"] == 0
    expected = fitting("distilbert_tags", examples)._one_step(0.5)["loss"]
    assert among._one_step(0.5)["loss"] == pytest.approx(expected, rel=1e-4)
    with torch.no_grad():
        assert alone._judgement()[0]["held out loss"] == 0


def test_a_judgement_gives_rows_in_the_order_of_the_examples() -> None:
    seen: list[list[int]] = []
    examples = made_examples("distilbert_tags")
    made = fitting("distilbert_tags", examples, together=24)

    def score(logits: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        seen.append([len(one) for one in logits])
        return {"score": 0.5}

    object.__setattr__(made._task, "score", score)
    with torch.no_grad():
        found, value = made._judgement()
    assert seen == [[len(one.places) for one in examples]]
    assert (found["score"], value) == (0.5, -0.5)
    assert found["held out loss"] > 0
