"""A training put together: its schedule, what is trained by each method, and a folder of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints.open import open_checkpoint
from honed.compress.base import ModelState
from honed.compress.training.examples import Example
from honed.compress.training.fit import fit, fit_dialogues
from honed.compress.training.fitting import Task
from honed.compress.training.settings import FittingSettings, FullTraining, HeadTraining, LowRankTraining
from honed.compress.weights import SourceWeights
from honed.errors import ParameterError
from honed.models.registry import read_encoder
from tiny_encoders import golden_encoder
from training_models import tiny_state


def source() -> ModelState:
    checkpoint = open_checkpoint(str(golden_encoder("bert_classes").directory))
    model = read_encoder(checkpoint.config)
    return ModelState(checkpoint.config, model, SourceWeights(model, checkpoint.weight))


def task(seed: int = 0) -> Task:
    random, examples = np.random.default_rng(seed), []
    for _ in range(20):
        tokens = random.integers(5, 97, 6).astype(np.int32)
        label = np.array([int(tokens[0]) % 3])
        examples.append(Example(tokens, np.zeros_like(tokens), np.zeros(0, np.int32), label))
    return Task("one", examples, examples[:6], lambda logits: {"score": float(len(logits))})


def settings(**more: Any) -> FittingSettings:
    return FittingSettings(**{"epochs": 1.0, "batch": 5, "precision": "float32", "train": FullTraining(), **more})


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        (FullTraining(), {"encoder.layer.0.output.dense.weight", "classifier.weight", "pooler.dense.weight"}),
        (
            LowRankTraining(method="lora", rank=2),
            {"encoder.layer.0.output.dense.weight", "classifier.weight", "pooler.dense.weight"},
        ),
        (HeadTraining(), {"classifier.weight", "pooler.dense.weight"}),
    ],
)
def test_what_is_trained(method: Any, changed: set[str]) -> None:
    made = source()
    found = fit(made, task(), settings(train=method, patience=None, evaluate=4), threads=1)
    assert (found.steps, found.step) == (4, 0)  # no judgement was better than the first one
    assert all(np.array_equal(found.weights[name], made.weights[name].decode()) for name in found.weights)
    scores = iter(range(10))
    better = task()
    object.__setattr__(better, "score", lambda logits: {"score": float(next(scores))})
    found = fit(made, better, settings(train=method, evaluate=4), threads=1)
    assert found.step == 4
    differing = {name for name in found.weights if not np.array_equal(found.weights[name], made.weights[name].decode())}
    assert changed <= differing
    body = "embeddings.word_embeddings.weight"
    assert (body in differing) is (method.method == "full")


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    fit(source(), task(), settings(), folder=tmp_path, threads=1)
    with pytest.raises(ParameterError, match="is of a training of other models"):
        fit(source(), task(1), settings(), folder=tmp_path, threads=1)


def test_a_head_of_a_model_that_generates_is_not_trained_alone() -> None:
    with pytest.raises(ParameterError, match="must be lora or full"):
        fit_dialogues(tiny_state(), [], [], settings(train=HeadTraining()))
