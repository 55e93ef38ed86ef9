"""Trains a decoder on dialogues: the tokens that are to be its own are learned, the others are read.

Not here: the loop (`loop.py`), and which tokens are whose (`api/train_dialogues.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from honed.compress.training.base import Trained
from honed.compress.training.examples import Batches, Example, as_texts, parts
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Loop, Moment, Schedule
from honed.compress.training.losses import NO_TOKEN, Headed, Sums, judge, learn
from honed.compress.training.runner import Runner
from honed.compress.training.settings import FittingSettings, LogitLoss

_TOKENS = LogitLoss(distance=0.0, tokens=1.0)


class Dialogues(Loop):
    """One training on dialogues. Of an example `places` are the tokens that are to be the model's own; the loss is the
    mean over those of a step."""

    def __init__(
        self,
        settings: FittingSettings,
        *,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        runner: Runner,
        trained: Trained,
        schedule: Schedule,
        keeping: Keeping,
        device: torch.device,
        told: Callable[[Moment], None] | None = None,
    ) -> None:
        self._settings, self._examples, self._held_out, self._runner = settings, examples, held_out, runner
        self._lengths = [len(one) for one in examples]
        self._batches = Batches(self._lengths, settings.batch, settings.seed)
        super().__init__(schedule, trained=trained, moved={}, keeping=keeping, device=device, told=told)

    def _learn(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        numbers = self._batches.of_step(self._step).tolist()
        total, sums = sum(len(self._examples[number].places) for number in numbers), Sums()
        for part in parts(numbers, self._lengths, self._settings.together):
            chosen = [self._examples[number] for number in part]
            own = self._runner.rows(weights, as_texts(chosen, self._device))
            targets = self._targets(chosen)
            share = int((targets != NO_TOKEN).sum()) / max(total, 1)
            found, gradient = learn(Headed(self._runner, weights, own.rows), None, targets, _TOKENS, share)
            own.rows.backward(gradient)  # type: ignore[no-untyped-call]
            sums.add(found)
        return {"loss": sums.mean_likelihood}

    def _judgement(self) -> tuple[dict[str, float], float]:
        weights, total = self._weights(), Sums()
        lengths = [len(one) for one in self._held_out]
        for part in parts(range(len(self._held_out)), lengths, self._settings.together):
            chosen = [self._held_out[number] for number in part]
            own = self._runner.rows(weights, as_texts(chosen, self._device))
            total.add(judge(Headed(self._runner, weights, own.rows), None, self._targets(chosen)))
        loss = total.mean_likelihood
        return {"held out loss": loss, "perplexity": math.exp(min(loss, 700.0))}, loss

    def _targets(self, chosen: Sequence[Example]) -> Tensor:
        """Of each row the token behind it, where that is to be the model's own."""
        found = []
        for one in chosen:
            own = np.full(len(one), NO_TOKEN, np.int64)
            own[one.places - 1] = one.tokens[one.places]
            found.append(own)
        return torch.from_numpy(np.concatenate(found)).to(self._device)
