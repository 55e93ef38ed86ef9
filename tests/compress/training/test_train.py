"""Whole trainings of tiny models: they come closer to the teacher, go on with the same bits, and refuse
what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.linears import find_linears
from honed.compress.training import trainer
from honed.compress.training.keeping import LOG, STATE
from honed.compress.training.settings import TrainingSettings
from honed.compress.training.train import Floats, train
from honed.encodings.dense import Dense
from honed.errors import MachineError, ParameterError
from training_models import Distance, bent, disturbed, some_windows, tiny_state


def settings(**given: Any) -> TrainingSettings:
    small = {"steps": 12, "batch": 4, "together": 2, "held_out": 2, "evaluate": 4, "keep": 3, "precision": "float32"}
    rate = {"optimizer": {"rate": 3e-3, "warm_up": 0.1}}
    return TrainingSettings.model_validate_json(json.dumps({**small, **rate, **given}))


def trained(state: ModelState, weights: dict[str, Floats]) -> ModelState:
    return replace(state, weights={name: Dense(values, "float32") for name, values in weights.items()})


TEACHER = tiny_state()
STUDENT = disturbed(TEACHER, 0.3)
WINDOWS = some_windows(40)
FRESH = Distance(TEACHER, some_windows(8, seed=77))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"precision": "bfloat16"},
        {"checkpointing": True},
        {"optimizer": {"name": "adafactor", "rate": 1e-2}},
        {"hidden": {"weight": 0.5}, "maps": {"weight": 0.5}},
        {"logits": {"distance": 0.5, "temperature": 2.0, "tokens": 0.1}},
    ],
    ids=lambda given: "-".join(map(str, given)) or "plain",
)
def test_the_student_comes_closer_to_the_teacher(given: dict[str, Any]) -> None:
    found = train(STUDENT, TEACHER, WINDOWS, settings(**{"steps": 40, **given}))
    assert found.keys() == TEACHER.model.weights().keys()
    assert all(values.dtype == np.float32 for values in found.values())
    before, after = FRESH.of(STUDENT), FRESH.of(trained(STUDENT, found))
    assert after < 0.75 * before


@pytest.mark.parametrize(
    "method",
    [{"method": "lora", "rank": 4, "alpha": 8.0}, {"method": "adalora", "rank": 2, "initial_rank": 4, "alpha": 8.0}],
    ids=["lora", "adalora"],
)
def test_what_is_of_low_rank_is_learned_by_factors(method: dict[str, Any]) -> None:
    student = bent(TEACHER, 0.5)
    asked = settings(steps=60, batch=8, together=8, evaluate=60, train=method, optimizer={"rate": 2e-2})
    found = train(student, TEACHER, some_windows(200), asked)
    before, after = FRESH.of(student), FRESH.of(trained(student, found))
    assert after < 0.7 * before
    layers = {weight.name for weight in find_linears(TEACHER.model).layers}
    changed = {name for name, values in found.items() if not np.array_equal(values, student.weights[name].decode())}
    assert changed <= layers
    assert changed == layers or method["method"] == "adalora"  # which may give a matrix up


class Killed(BaseException):
    """The process ends here."""


def killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    plainly = trainer.Trainer._one_step
    left = iter(range(steps))

    def one_step(self: trainer.Trainer, progress: float) -> dict[str, float]:
        if next(left, None) is None:
            raise Killed
        return plainly(self, progress)

    monkeypatch.setattr(trainer.Trainer, "_one_step", one_step)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"optimizer": {"name": "adafactor", "rate": 1e-2}},
        {"train": {"method": "adalora", "rank": 2, "initial_rank": 6}, "hidden": {"weight": 1.0}},
    ],
    ids=["adamw", "adafactor", "adalora"],
)
@pytest.mark.parametrize("steps", [1, 7])  # before the first state is kept, and between two
def test_a_training_that_was_ended_goes_on_to_the_same_bits(
    given: dict[str, Any], steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(**given)
    expected = train(STUDENT, TEACHER, WINDOWS, asked, folder=tmp_path / "whole")
    with monkeypatch.context() as patch:
        killed_after(patch, steps)
        with pytest.raises(Killed):
            train(STUDENT, TEACHER, WINDOWS, asked, folder=tmp_path / "ended")
    done: list[int] = []
    plainly = trainer.Trainer._one_step

    def counted(self: trainer.Trainer, progress: float) -> dict[str, float]:
        done.append(1)
        return plainly(self, progress)

    monkeypatch.setattr(trainer.Trainer, "_one_step", counted)
    found = train(STUDENT, TEACHER, WINDOWS, asked, folder=tmp_path / "ended")
    assert len(done) == 12 - steps // 3 * 3
    assert_same(found, expected)
    assert_same(train(STUDENT, TEACHER, WINDOWS, asked, folder=tmp_path / "whole"), expected)
    assert len(done) == 12 - steps // 3 * 3  # the last one had nothing left to do


def assert_same(found: Mapping[str, Floats], expected: Mapping[str, Floats]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name


@pytest.mark.parametrize("changed", ["settings", "windows", "student", "teacher"])
def test_the_state_of_another_training_is_refused(changed: str, tmp_path: Path) -> None:
    train(STUDENT, TEACHER, WINDOWS, settings(steps=1), folder=tmp_path)
    others = {"student": STUDENT, "teacher": TEACHER, "windows": WINDOWS, "settings": settings(steps=1)}
    others[changed] = {
        "settings": settings(steps=2),
        "windows": some_windows(40, seed=6),
        "student": disturbed(TEACHER, 0.3, seed=1),
        "teacher": STUDENT,
    }[changed]
    with pytest.raises(ParameterError, match="is of a training of other models, tokens or settings"):
        train(*others.values(), folder=tmp_path)  # type: ignore[arg-type]


def test_the_log_has_every_step_and_the_best_judgement_wins(tmp_path: Path) -> None:
    found = train(STUDENT, TEACHER, WINDOWS, settings(), folder=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    steps = [line for line in lines if "rate" in line]
    judged = [line for line in lines if "held out distance" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert [line["step"] for line in judged] == [0, 4, 8, 12]
    assert steps[-1]["distance"] < steps[0]["distance"]
    assert (tmp_path / STATE).exists()
    ruined = train(STUDENT, TEACHER, WINDOWS, settings(optimizer={"rate": 1.0}))
    assert_same(ruined, {name: STUDENT.weights[name].decode() for name in found})


def test_minutes_end_a_training_too() -> None:
    asked = settings(steps=None, minutes=0.02)
    assert asked.minutes == 0.02
    found = train(STUDENT, TEACHER, WINDOWS, asked)
    assert FRESH.of(trained(STUDENT, found)) < FRESH.of(STUDENT)


def test_a_loss_that_is_no_number_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    broken = dict(STUDENT.weights)
    broken[name] = Dense(np.full(broken[name].shape, np.nan, np.float32), "float32")
    with pytest.raises(MachineError, match="the gradient of step 1 is no number"):
        train(replace(STUDENT, weights=broken), TEACHER, WINDOWS, settings())
