"""Trains an encoder with its head on labelled texts: classes of a text, one or several, or tags of tokens.

The loss is the cross entropy of the labels, of classes that a text has several of that of each by itself; with a
teacher a share of it is the distance from what that one says (Hinton et al. 2015). Not here: the loop (`loop.py`), what
is a better result, which whoever asks says by a score, and dialogues (`dialogues.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, kl_div, logsigmoid

from honed.compress.training.base import Trained
from honed.compress.training.encoder_runner import EncoderRunner
from honed.compress.training.examples import Batches, Example, as_texts, parts
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Loop, Moment, Schedule
from honed.compress.training.settings import FittingSettings

Kind = Literal["one", "several"]
Score = Callable[[Sequence[NDArray[np.float32]]], Mapping[str, float]]
"""Of the logits of each example that is held out, [rows, labels]: values by name, the greater the better. The first one
decides which weights are the best."""


@dataclass(frozen=True)
class Task:
    """What is learned. kind: whether a row has one label or may have several. held_out: examples to judge by."""

    kind: Kind
    examples: Sequence[Example]
    held_out: Sequence[Example]
    score: Score


class Fitting(Loop):
    """One training on labelled texts."""

    def __init__(
        self,
        settings: FittingSettings,
        *,
        task: Task,
        runner: EncoderRunner,
        trained: Trained,
        schedule: Schedule,
        keeping: Keeping,
        device: torch.device,
        told: Callable[[Moment], None] | None = None,
    ) -> None:
        self._settings, self._task, self._runner = settings, task, runner
        self._lengths = [len(one) for one in task.examples]
        self._batches = Batches(self._lengths, settings.batch, settings.seed)
        super().__init__(schedule, trained=trained, moved={}, keeping=keeping, device=device, told=told)

    def _learn(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        numbers = self._batches.of_step(self._step).tolist()
        rows = sum(len(_rows_of(self._task.examples[number])) for number in numbers)
        total = right = 0.0
        for part in parts(numbers, self._lengths, self._settings.together):
            chosen = [self._task.examples[number] for number in part]
            logits = self._logits(weights, chosen)
            loss = self._loss(logits, chosen) / max(rows, 1)
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            right += self._right(logits.detach(), chosen)
        return {"loss": total, "right": right / max(rows, 1)}

    def _judgement(self) -> tuple[dict[str, float], float]:
        weights, held_out = self._weights(), self._task.held_out
        lengths, total, rows = [len(one) for one in held_out], 0.0, 0
        found: list[NDArray[np.float32]] = [np.zeros((0, self._runner.labels), np.float32)] * len(held_out)
        for part in parts(range(len(held_out)), lengths, self._settings.together):
            chosen = [held_out[number] for number in part]
            logits = self._logits(weights, chosen)
            total += float(self._loss(logits, chosen))
            counts = [len(_rows_of(one)) for one in chosen]
            rows += sum(counts)
            for number, own in zip(part, torch.split(logits, counts), strict=True):
                found[number] = own.cpu().numpy()
        scores = dict(self._task.score(found))
        return {**scores, "held out loss": total / max(rows, 1)}, -next(iter(scores.values()))

    def _logits(self, weights: Mapping[str, Tensor], chosen: Sequence[Example]) -> Tensor:
        known = [one.rows for one in chosen if one.rows is not None]
        if len(known) == len(chosen):
            entering = torch.from_numpy(np.concatenate(known)).to(self._device)
        else:
            entering = self._runner.entering(weights, as_texts(chosen, self._device))
        return self._runner.logits(weights, entering)

    def _loss(self, logits: Tensor, chosen: Sequence[Example]) -> Tensor:
        """Summed over rows."""
        targets = self._targets(chosen)
        own = (
            cross_entropy(logits, targets, reduction="sum")
            if self._task.kind == "one"
            else binary_cross_entropy_with_logits(logits, targets, reduction="sum") / logits.shape[1]
        )
        aims = [one.aims for one in chosen if one.aims is not None]
        if len(aims) != len(chosen) or not self._settings.teacher:
            return own
        share, heat = self._settings.teacher, self._settings.temperature
        wanted = torch.from_numpy(np.concatenate(aims)).to(self._device) / heat
        distance = _distance(logits / heat, wanted, self._task.kind) * heat * heat
        return (1 - share) * own + share * distance

    def _targets(self, chosen: Sequence[Example]) -> Tensor:
        targets = [one.targets if self._task.kind == "one" else one.targets[None] for one in chosen]
        return torch.from_numpy(np.concatenate(targets)).to(self._device)

    def _right(self, logits: Tensor, chosen: Sequence[Example]) -> float:
        """Rows whose labels are all as they should be."""
        targets = self._targets(chosen)
        if self._task.kind == "one":
            return float((logits.argmax(-1) == targets).sum())
        return float(((logits > 0) == (targets > 0.5)).all(-1).sum())


def _rows_of(example: Example) -> NDArray[np.int32] | range:
    """What it has a row of logits for."""
    return example.places if len(example.places) else range(1 if len(example.targets) else 0)


def _distance(logits: Tensor, aims: Tensor, kind: Kind) -> Tensor:
    """KL(aims || logits), summed over rows; of labels by themselves their mean in a row."""
    if kind == "one":
        return kl_div(logits.log_softmax(-1), aims.log_softmax(-1), reduction="sum", log_target=True)
    yes = aims.sigmoid() * (logsigmoid(aims) - logsigmoid(logits))
    no = (-aims).sigmoid() * (logsigmoid(-aims) - logsigmoid(-logits))
    return (yes + no).mean(-1).sum()
