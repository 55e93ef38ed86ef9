"""The loop of every training: steps that move parameters, judgements in between of which the best one is kept, and a
state from which it goes on with the same bits on the same machine and threads.

Rates follow from how much is done: of the steps, or with `minutes` of the clock. Not here: what is learned from and
judged by, which a training of each kind says (`trainer.py`, `fitting.py`, `dialogues.py`).
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from honed.compress.training.base import Trained
from honed.compress.training.keeping import Keeping, Log
from honed.compress.training.optimizer import make_optimizer, rate_at, set_rate
from honed.compress.training.settings import OptimizerSettings
from honed.errors import MachineError

_SAID = logging.getLogger("honed.training")


@dataclass(frozen=True)
class Schedule:
    """Either `steps` or `minutes` ends the training; it is judged every `evaluate` steps and kept every `keep`.
    patience: judgements in a row that are not the best one and end it; None: none do."""

    optimizer: OptimizerSettings
    steps: int | None
    minutes: float | None
    evaluate: int
    keep: int
    patience: int | None = None


@dataclass(frozen=True)
class Moment:
    """What a training says of itself: steps that are done of how many (None with `minutes`), seconds, what was found
    in this step, and whether that is a judgement."""

    step: int
    steps: int | None
    seconds: float
    found: Mapping[str, float]
    judged: bool


class Loop(ABC):
    """One training, from its settings to the weights that it comes to. moved: what is trained beside the weights."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        trained: Trained,
        moved: Mapping[str, Tensor],
        keeping: Keeping,
        device: torch.device,
        told: Callable[[Moment], None] | None = None,
    ) -> None:
        self._schedule, self._trained, self._keeping, self._device = schedule, trained, keeping, device
        self._moved: dict[str, Tensor] = {**trained.parameters, **moved}
        self._optimizer = make_optimizer(schedule.optimizer, self._moved)
        self._told = told or (lambda moment: None)
        self._step, self._seconds = 0, 0.0
        self._best: dict[str, Tensor] = {}
        self._best_method: dict[str, Tensor] = {}
        self._best_value, self._best_step, self._worse = float("inf"), 0, 0
        self._best_found: dict[str, float] = {}

    @property
    def best(self) -> Mapping[str, float]:
        """What the best judgement found."""
        return self._best_found

    @property
    def best_step(self) -> int:
        return self._best_step

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self._step

    def run(self, folder: Path | None = None) -> dict[str, Tensor]:
        """Every weight of the model, float32. `folder`: for the log. MachineError where a loss is no number."""
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

    # ---- what a training of a kind says

    @abstractmethod
    def _learn(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Adds the gradients of the step `self._step` to those of the weights, and says what it found."""

    @abstractmethod
    def _judgement(self) -> tuple[dict[str, float], float]:
        """What is found on data that is held out, and a value that is the less the better."""

    def _weights(self) -> dict[str, Tensor]:
        """As they are computed with."""
        return self._trained.weights()

    def _before_step(self) -> None:  # noqa: B027 - most have nothing to do
        """Is called before each."""

    def _more_state(self) -> dict[str, Any]:
        return {}

    def _restore_more(self, found: Mapping[str, Any]) -> None:  # noqa: B027 - most have no more
        """The inverse of `_more_state`."""

    # ---- the loop

    def _train(self, log: Log) -> None:
        every = self._schedule
        began = time.monotonic() - self._seconds
        if not self._best:
            self._judge(log)
        while (progress := self._progress()) < 1 and not self._is_over():
            set_rate(self._optimizer, rate := rate_at(every.optimizer, progress))
            self._before_step()
            losses = self._one_step(progress)
            self._step += 1
            self._seconds = time.monotonic() - began
            self._say(log, {**losses, "rate": rate, "seconds": self._seconds}, judged=False)
            if self._step % every.evaluate == 0 or self._progress() >= 1:
                self._judge(log)
                self._seconds = time.monotonic() - began
            if self._step % every.keep == 0 and self._progress() < 1:
                self._keeping.save(self._state())
        self._keeping.save(self._state())

    def _is_over(self) -> bool:
        return self._schedule.patience is not None and self._worse >= self._schedule.patience

    def _progress(self) -> float:
        if self._schedule.steps is not None:
            return self._step / self._schedule.steps
        assert self._schedule.minutes is not None
        return self._seconds / (60 * self._schedule.minutes)

    def _one_step(self, progress: float) -> dict[str, float]:
        """Moves the parameters once. The weights are made of them once, however many parts a step has."""
        self._optimizer.zero_grad(set_to_none=True)
        made = self._weights()
        used = {name: _leaf(weight) for name, weight in made.items()}
        found = self._learn(used)
        pairs = [(made[name], leaf.grad) for name, leaf in used.items() if leaf.grad is not None]
        pulled = [(weight, gradient) for weight, gradient in pairs if weight.requires_grad and not weight.is_leaf]
        penalty = self._trained.penalty()
        if penalty is not None:
            pulled.append((penalty, torch.ones_like(penalty)))
        if pulled:
            torch.autograd.backward([weight for weight, _ in pulled], [gradient for _, gradient in pulled])
        self._trained.after_backward(progress)
        moved = list(self._moved.values())
        norm = float(torch.nn.utils.clip_grad_norm_(moved, self._schedule.optimizer.clip))
        if not norm < float("inf"):
            raise MachineError(f"training: the gradient of step {self._step + 1} is no number; take a lower rate")
        self._optimizer.step()
        self._trained.after_step()
        return {**found, "norm": norm}

    def _judge(self, log: Log) -> None:
        """Keeps the best weights."""
        with torch.no_grad():
            found, value = self._judgement()
        self._say(log, found, judged=True)
        _SAID.info("step %d: %s", self._step, ", ".join(f"{name} {number:.4f}" for name, number in found.items()))
        if self._best and not value < self._best_value:
            self._worse += 1
            return
        self._best_value, self._best_step, self._best_found, self._worse = value, self._step, dict(found), 0
        self._best = {name: weight.detach().clone() for name, weight in self._trained.parameters.items()}
        self._best_method = {name: value.clone() for name, value in self._trained.state().items()}

    def _say(self, log: Log, found: Mapping[str, float], *, judged: bool) -> None:
        log.write(self._step, found)
        self._told(Moment(self._step, self._schedule.steps, self._seconds, found, judged))

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "seconds": self._seconds,
            "moved": {name: value.detach() for name, value in self._moved.items()},
            "optimizer": self._optimizer.state_dict(),
            "method": self._trained.state(),
            "best": self._best,
            "best method": self._best_method,
            "best value": self._best_value,
            "best step": self._best_step,
            "best found": self._best_found,
            "worse": self._worse,
            **self._more_state(),
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
        self._restore_more(found)
        self._best = {name: value.to(self._device) for name, value in found["best"].items()}
        self._best_method, self._best_value = found["best method"], found["best value"]
        self._best_step, self._best_found, self._worse = found["best step"], found["best found"], found["worse"]


def _leaf(weight: Tensor) -> Tensor:
    """The weight, or where it is made of parameters, its values as a leaf of their own."""
    if weight.is_leaf:
        return weight
    return weight.detach().requires_grad_(weight.requires_grad)
