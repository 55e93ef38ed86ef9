"""Trains a student on what a teacher makes of windows of tokens, and gives the weights that did best on windows that it
never saw.

What is trained is a method of `base.py`, what is learned from stands in `losses.py` and `layer_losses.py`. Windows and
grids follow from the settings and the step. Not here: the loop itself (`loop.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from honed.compress.training.base import Trained
from honed.compress.training.fake_quantization import FakeQuantization
from honed.compress.training.keeping import Keeping
from honed.compress.training.layer_losses import InnerLosses
from honed.compress.training.loop import Loop, Schedule
from honed.compress.training.losses import Headed, Sums, judge, learn, next_tokens
from honed.compress.training.runner import Runner
from honed.compress.training.settings import TrainingSettings
from honed.compress.training.windows import Windows


@dataclass(frozen=True)
class Teacher:
    """A model whose weights stay as they are."""

    runner: Runner
    weights: Mapping[str, Tensor]


class Trainer(Loop):
    """One training of a decoder by another."""

    def __init__(
        self,
        settings: TrainingSettings,
        *,
        student: Runner,
        trained: Trained,
        teacher: Teacher,
        windows: Windows,
        inner: InnerLosses,
        quantization: FakeQuantization | None,
        keeping: Keeping,
        device: torch.device,
    ) -> None:
        self._settings, self._student, self._teacher = settings, student, teacher
        self._windows, self._inner, self._quantization = windows, inner, quantization
        self._refresh = settings.quantized.refresh if settings.quantized is not None else 1
        schedule = Schedule(settings.optimizer, settings.steps, settings.minutes, settings.evaluate, settings.keep)
        projections = {f"projection {name}": value for name, value in inner.projections.items()}
        super().__init__(schedule, trained=trained, moved=projections, keeping=keeping, device=device)

    def _before_step(self) -> None:
        if self._quantization is not None and self._step % self._refresh == 0:
            self._quantization.refresh(self._trained.weights())

    def _learn(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        numbers = self._windows.of_step(self._step)
        sums, inner = Sums(), 0.0
        for first in range(0, len(numbers), self._settings.together):
            part = numbers[first : first + self._settings.together]
            tokens = self._windows.taken(part, self._device)
            share = len(part) / len(numbers)
            found, of_inner = self._learn_part(weights, tokens, share)
            sums.add(found)
            inner += of_inner * share
        return {"distance": sums.mean_distance, "likelihood": sums.mean_likelihood, "inner": inner}

    def _learn_part(self, weights: Mapping[str, Tensor], tokens: Tensor, share: float) -> tuple[Sums, float]:
        """Adds the gradients of some windows, which are that share of a step, to the weights'."""
        with torch.no_grad():
            aims = self._teacher.runner.rows(
                self._teacher.weights, tokens, layers=self._inner.of_teacher, maps=self._inner.maps
            )
        own = self._student.rows(weights, tokens, layers=self._inner.of_student, maps=self._inner.maps)
        sums, gradient = learn(
            Headed(self._student, weights, own.rows),
            Headed(self._teacher.runner, self._teacher.weights, aims.rows),
            next_tokens(tokens),
            self._settings.logits,
            share,
        )
        inner = self._inner.loss(own, aims)
        if inner is None:
            own.rows.backward(gradient)  # type: ignore[no-untyped-call]
            return sums, 0.0
        torch.autograd.backward([own.rows, inner], [gradient, inner.new_tensor(share)])
        return sums, float(inner.detach())

    def _judgement(self) -> tuple[dict[str, float], float]:
        """On the windows that are held out, as the pass behind will store the weights."""
        total = Sums()
        if self._quantization is not None:
            before = self._quantization.state()
            self._quantization.refresh(self._trained.weights())
        weights = self._weights()
        if self._quantization is not None and before:
            self._quantization.restore(before, self._device)
        apart = self._windows.held_out
        for first in range(0, len(apart), self._settings.together):
            tokens = self._windows.taken(apart[first : first + self._settings.together], self._device)
            aims = self._teacher.runner.rows(self._teacher.weights, tokens)
            own = self._student.rows(weights, tokens)
            student = Headed(self._student, weights, own.rows)
            teacher = Headed(self._teacher.runner, self._teacher.weights, aims.rows)
            total.add(judge(student, teacher, next_tokens(tokens)))
        logits = self._settings.logits
        value = logits.distance * total.mean_distance + logits.tokens * total.mean_likelihood
        return {"held out distance": total.mean_distance, "held out likelihood": total.mean_likelihood}, value

    def _weights(self) -> dict[str, Tensor]:
        made = self._trained.weights()
        return made if self._quantization is None else self._quantization.rounded(made)

    def _more_state(self) -> dict[str, Any]:
        return {"grids": {} if self._quantization is None else self._quantization.state()}

    def _restore_more(self, found: Mapping[str, Any]) -> None:
        if self._quantization is not None:
            self._quantization.restore(found["grids"], self._device)
