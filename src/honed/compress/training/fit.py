"""From a model, labelled texts or dialogues, and settings to trained weights: puts a training together and runs it.

Not here: distillation on windows of tokens (`train.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.linears import find_linears
from honed.compress.needs import Source
from honed.compress.training.adaptive_rank import AdaptiveRank
from honed.compress.training.base import Trained
from honed.compress.training.dialogues import Dialogues
from honed.compress.training.encoder_runner import EncoderRunner
from honed.compress.training.examples import Batches, Example
from honed.compress.training.fitting import Fitting, Task
from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Loop, Moment, Schedule
from honed.compress.training.low_rank import LowRank
from honed.compress.training.machine import choose_device, choose_dtype, torch_threads
from honed.compress.training.runner import Runner
from honed.compress.training.settings import FittingSettings, FullTraining, HeadTraining, LowRankTraining
from honed.compress.training.several import WithHead
from honed.compress.training.train import read_weights
from honed.errors import ParameterError
from honed.models.base import Model

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Fitted:
    """weights: every one that the model names. found: what the best judgement did. step: where that was, of `steps`
    that were made."""

    weights: Mapping[str, Floats]
    found: Mapping[str, float]
    step: int
    steps: int


def fit(
    source: Source,
    task: Task,
    settings: FittingSettings,
    *,
    folder: Path | None = None,
    threads: int = 1,
    told: Callable[[Moment], None] | None = None,
) -> Fitted:
    """Trains an encoder with its head on labelled texts. folder: where the state of the training and its log are kept,
    and where it goes on from.

    Errors: ParameterError for a folder of another training and names of weights that do not fit; UnsupportedError for a
    model without such a head; MachineError.
    """
    device = choose_device(settings.device)
    with torch_threads(threads):
        runner = EncoderRunner(source.model, choose_dtype(settings.precision, device))
        started = read_weights(source, device)
        loop = Fitting(
            settings,
            task=task,
            runner=runner,
            trained=_method(settings, source.model, started, runner.head_weights),
            schedule=_schedule(settings, [len(one) for one in task.examples]),
            keeping=Keeping(
                folder, _fingerprint((source.model, started), (*task.examples, *task.held_out), settings, threads)
            ),
            device=device,
            told=told,
        )
        return _ran(loop, folder)


def fit_dialogues(
    source: Source,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    settings: FittingSettings,
    *,
    folder: Path | None = None,
    threads: int = 1,
    told: Callable[[Moment], None] | None = None,
) -> Fitted:
    """Trains a decoder on dialogues. Errors as of `fit`; ParameterError where its head alone is to be trained."""
    if isinstance(settings.train, HeadTraining):
        raise ParameterError("train.method", "head", "must be lora or full for a model that generates")
    device = choose_device(settings.device)
    with torch_threads(threads):
        dtype = choose_dtype(settings.precision, device)
        started = read_weights(source, device)
        loop = Dialogues(
            settings,
            examples=examples,
            held_out=held_out,
            runner=Runner(source.model, dtype, checkpointing=settings.checkpointing),
            trained=_method(settings, source.model, started, frozenset()),
            schedule=_schedule(settings, [len(one) for one in examples]),
            keeping=Keeping(folder, _fingerprint((source.model, started), (*examples, *held_out), settings, threads)),
            device=device,
            told=told,
        )
        return _ran(loop, folder)


def _ran(loop: Loop, folder: Path | None) -> Fitted:
    weights = {name: weight.cpu().numpy() for name, weight in loop.run(folder).items()}
    return Fitted(weights, loop.best, loop.best_step, loop.step)


def _schedule(settings: FittingSettings, lengths: Sequence[int]) -> Schedule:
    of_epoch = Batches(lengths, settings.batch, settings.seed).of_epoch
    steps = max(1, round(settings.epochs * of_epoch))
    return Schedule(settings.optimizer, steps, None, settings.evaluate or of_epoch, settings.keep, settings.patience)


def _method(settings: FittingSettings, model: Model, weights: Mapping[str, Tensor], head: frozenset[str]) -> Trained:
    if isinstance(settings.train, HeadTraining):
        return WithHead(None, weights, sorted(head))
    if isinstance(settings.train, FullTraining):
        return Full(settings.train, weights)
    matrices = [weight.name for weight in find_linears(model).layers]
    kind = LowRank if isinstance(settings.train, LowRankTraining) else AdaptiveRank
    body: Trained = kind(settings.train, weights, matrices, settings.seed)  # type: ignore[arg-type]
    return WithHead(body, weights, sorted(head)) if head else body


def _fingerprint(
    source: tuple[Model, Mapping[str, Tensor]], examples: Sequence[Example], settings: FittingSettings, threads: int
) -> str:
    model, weights = source
    found = hashlib.sha256(settings.model_dump_json().encode())
    found.update(f"{torch.__version__} {threads} {model!r}".encode())
    for weight in weights.values():
        found.update(np.ascontiguousarray(weight.cpu().numpy()).data)
    for one in examples:
        for array in (one.tokens, one.types, one.places, one.targets, one.aims):
            found.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
