"""Trains a student on what a teacher makes of windows of tokens, and gives the weights that did best on windows that it
never saw.

What is trained is a method of `base.py`, what is learned from stands in `losses.py` and `layer_losses.py`. A training
that is kept in a folder goes on from there with the same bits on the same machine and threads: windows, rates and grids
follow from its settings and its state. With `minutes` the rates follow the clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from honed.compress.training.base import Trained
from honed.compress.training.fake_quantization import FakeQuantization
from honed.compress.training.keeping import Keeping, Log
from honed.compress.training.layer_losses import InnerLosses
from honed.compress.training.losses import Headed, Sums, judge, learn, next_tokens
from honed.compress.training.optimizer import make_optimizer, rate_at, set_rate
from honed.compress.training.runner import Runner
from honed.compress.training.settings import TrainingSettings
from honed.compress.training.windows import Windows
from honed.errors import MachineError

_SAID = logging.getLogger("honed.training")


@dataclass(frozen=True)
class Teacher:
    """A model whose weights stay as they are."""

    runner: Runner
    weights: Mapping[str, Tensor]


class Trainer:
    """One training, from its settings to the weights that it comes to."""

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
        self._settings, self._student, self._trained, self._teacher = settings, student, trained, teacher
        self._windows, self._inner, self._quantization = windows, inner, quantization
        self._keeping, self._device = keeping, device
        projections = {f"projection {name}": value for name, value in inner.projections.items()}
        self._moved: dict[str, Tensor] = {**trained.parameters, **projections}
        self._optimizer = make_optimizer(settings.optimizer, self._moved)
        self._refresh = settings.quantized.refresh if settings.quantized is not None else 1
        self._step, self._seconds = 0, 0.0
        self._best: dict[str, Tensor] = {}
        self._best_method: dict[str, Tensor] = {}
        self._best_value = float("inf")

    def run(self, folder: Path | None = None) -> dict[str, Tensor]:
        """Every weight of the student, float32. `folder`: for the log. MachineError where a loss is no number."""
        self._restore()
        log = Log(folder)
        try:
            self._train(log)
        finally:
            log.close()
        with torch.no_grad():
            for name, value in self._trained.parameters.items():
                value.copy_(self._best[name])
            self._trained.restore(self._best_method)
            return {name: weight.detach() for name, weight in self._trained.weights().items()}

    def _train(self, log: Log) -> None:
        every = self._settings
        began = time.monotonic() - self._seconds
        if not self._best:
            self._judge(log)
        while (progress := self._progress()) < 1:
            set_rate(self._optimizer, rate := rate_at(every.optimizer, progress))
            if self._quantization is not None and self._step % self._refresh == 0:
                self._quantization.refresh(self._trained.weights())
            losses = self._one_step(progress)
            self._step += 1
            self._seconds = time.monotonic() - began
            log.write(self._step, {**losses, "rate": rate, "seconds": self._seconds})
            if self._step % every.evaluate == 0 or self._progress() >= 1:
                self._judge(log)
            if self._step % every.keep == 0 and self._progress() < 1:
                self._keeping.save(self._state())
        self._keeping.save(self._state())

    def _progress(self) -> float:
        if self._settings.steps is not None:
            return self._step / self._settings.steps
        assert self._settings.minutes is not None
        return self._seconds / (60 * self._settings.minutes)

    def _one_step(self, progress: float) -> dict[str, float]:
        """Moves the parameters once. The weights are made of them once, however many times windows go through."""
        self._optimizer.zero_grad(set_to_none=True)
        made = self._weights()
        used = {name: _leaf(weight) for name, weight in made.items()}
        numbers = self._windows.of_step(self._step)
        sums, inner = Sums(), 0.0
        for first in range(0, len(numbers), self._settings.together):
            part = numbers[first : first + self._settings.together]
            tokens = self._windows.taken(part, self._device)
            share = len(part) / len(numbers)
            found, of_inner = self._learn(used, tokens, share)
            sums.add(found)
            inner += of_inner * share
        pairs = [(made[name], leaf.grad) for name, leaf in used.items() if leaf.grad is not None]
        pulled = [(weight, gradient) for weight, gradient in pairs if weight.requires_grad and not weight.is_leaf]
        penalty = self._trained.penalty()
        if penalty is not None:
            pulled.append((penalty, torch.ones_like(penalty)))
        if pulled:
            torch.autograd.backward([weight for weight, _ in pulled], [gradient for _, gradient in pulled])
        self._trained.after_backward(progress)
        moved = list(self._moved.values())
        norm = float(torch.nn.utils.clip_grad_norm_(moved, self._settings.optimizer.clip))
        if not norm < float("inf"):
            raise MachineError(f"training: the gradient of step {self._step + 1} is no number; take a lower rate")
        self._optimizer.step()
        self._trained.after_step()
        return {"distance": sums.mean_distance, "likelihood": sums.mean_likelihood, "inner": inner, "norm": norm}

    def _learn(self, weights: Mapping[str, Tensor], tokens: Tensor, share: float) -> tuple[Sums, float]:
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

    def _judge(self, log: Log) -> None:
        """On the windows that are held out, as the pass behind will store the weights; keeps the best ones."""
        total = Sums()
        with torch.no_grad():
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
        found = {"held out distance": total.mean_distance, "held out likelihood": total.mean_likelihood}
        log.write(self._step, found)
        _SAID.info("step %d: %s", self._step, ", ".join(f"{name} {number:.4f}" for name, number in found.items()))
        if not self._best or value < self._best_value:
            self._best_value = value
            self._best = {name: weight.detach().clone() for name, weight in self._trained.parameters.items()}
            self._best_method = {name: value.clone() for name, value in self._trained.state().items()}

    def _weights(self) -> dict[str, Tensor]:
        made = self._trained.weights()
        return made if self._quantization is None else self._quantization.rounded(made)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "seconds": self._seconds,
            "moved": {name: value.detach() for name, value in self._moved.items()},
            "optimizer": self._optimizer.state_dict(),
            "method": self._trained.state(),
            "grids": {} if self._quantization is None else self._quantization.state(),
            "best": self._best,
            "best method": self._best_method,
            "best value": self._best_value,
        }

    def _restore(self) -> None:
        found = self._keeping.load()
        if found is None:
            return
        self._step, self._seconds = found["step"], found["seconds"]
        with torch.no_grad():
            for name, value in self._moved.items():
                value.copy_(found["moved"][name])
        self._optimizer.load_state_dict(found["optimizer"])
        self._trained.restore(found["method"])
        if self._quantization is not None:
            self._quantization.restore(found["grids"], self._device)
        self._best = {name: value.to(self._device) for name, value in found["best"].items()}
        self._best_method, self._best_value = found["best method"], found["best value"]


def _leaf(weight: Tensor) -> Tensor:
    """The weight, or where it is made of parameters, its values as a leaf of their own."""
    if weight.is_leaf:
        return weight
    return weight.detach().requires_grad_(weight.requires_grad)
