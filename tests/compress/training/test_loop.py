"""The loop by itself: when it judges, which weights are the best, when it is over, and that it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from honed.compress.training.full import Full
from honed.compress.training.keeping import Keeping
from honed.compress.training.loop import Loop, Moment, Schedule
from honed.compress.training.settings import FullTraining, OptimizerSettings
from honed.errors import MachineError


class Towards(Loop):
    """Moves a weight towards 1; judged by what is listed."""

    def __init__(
        self,
        values: list[float],
        *,
        patience: int | None = None,
        folder: Path | None = None,
        steps: int = 6,
        factor: float = 1.0,
    ):
        self.values, self.judged, self.factor = values, 0, factor
        self.moments: list[Moment] = []
        super().__init__(
            Schedule(OptimizerSettings(rate=0.1), steps, None, 1, 2, patience),
            trained=Full(FullTraining(), {"w": torch.zeros(2)}),
            moved={},
            keeping=Keeping(folder, "one"),
            device=torch.device("cpu"),
            told=self.moments.append,
        )

    def _learn(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        loss = (weights["w"] - 1).square().sum() * self.factor
        loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach())}

    def _judgement(self) -> tuple[dict[str, float], float]:
        value = self.values[min(self._step, len(self.values) - 1)]
        self.judged += 1
        return {"value": value}, value


def test_the_best_weights_are_given_back() -> None:
    loop = Towards([5, 4, 1, 2, 3, 3, 3])
    found = loop.run()["w"]
    assert (loop.best_step, loop.best["value"], loop.step) == (2, 1, 6)
    again = Towards([5, 4, 3], steps=6)
    again._schedule = Schedule(again._schedule.optimizer, 6, None, 1, 2)
    for _ in range(2):
        from honed.compress.training.optimizer import rate_at, set_rate

        set_rate(again._optimizer, rate_at(again._schedule.optimizer, again._progress()))
        again._one_step(0)
        again._step += 1
    torch.testing.assert_close(found, again._trained.weights()["w"].detach())


def test_patience_ends_it() -> None:
    loop = Towards([5, 1, 2, 2, 0, 0], patience=2)
    loop.run()
    assert (loop.step, loop.best_step) == (3, 1)  # what would have come then is never seen
    assert Towards([5, 1, 2, 2, 0, 0], patience=3).run() is not None


def test_moments() -> None:
    loop = Towards([3, 2, 1, 1, 1, 1, 1])
    loop.run()
    assert [moment.step for moment in loop.moments if moment.judged] == list(range(7))
    assert all(moment.steps == 6 for moment in loop.moments)


def test_it_goes_on_where_it_was_kept(tmp_path: Path) -> None:
    whole = Towards([5, 4, 3, 2, 1, 0, 0]).run()["w"]
    first = Towards([5, 4, 3, 2, 1, 0, 0], folder=tmp_path)

    def stop(moment: Moment) -> None:
        if moment.step == 5:
            raise KeyboardInterrupt

    first._told = stop
    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path)
    second = Towards([5, 4, 3, 2, 1, 0, 0], folder=tmp_path)
    torch.testing.assert_close(second.run(tmp_path)["w"], whole, atol=0, rtol=0)
    assert second.judged == 2  # from the fourth step on


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(MachineError, match="the gradient of step 1 is no number"):
        Towards([1, 1], factor=float("nan")).run()
