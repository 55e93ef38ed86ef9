"""Passes are told exactly what they ask for; whole recipes over a model that has no head. Those over decoders are
tested by what artifacts say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from honed.backends.interpreter_encoder import InterpreterEncoder
from honed.compress import pipeline
from honed.compress.base import ModelState
from honed.compress.blocks import find_blocks
from honed.compress.linears import all_linears
from honed.compress.needs import Needs, Observed
from honed.compress.pipeline import run_recipe
from honed.compress.recipe import read_recipe
from honed.compress.settings import PassSettings
from honed.compress.stored import StoredWeights
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.scheme import DenseScheme
from honed.errors import ParameterError
from honed.models.recorded import main_graph
from tiny_encoder import RandomWeights, TinyEncoder, texts

MODEL = TinyEncoder()


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_an_encoder_is_compressed_by_the_recipes_that_there_are(name: str) -> None:
    dense = RandomWeights(MODEL)
    source = SourceWeights(MODEL, dense.weight)
    windows = [list(range(12)), list(range(10, 22))]
    given = ModelState({}, MODEL, source)
    done = StoredWeights(run_recipe(given, read_recipe(name), threads=1, calibration=windows))
    dense_still = {weight for weight, scheme in done.schemes.items() if isinstance(scheme, DenseScheme)}
    matrices = {weight for weight, made in MODEL.weights().items() if len(made.shape) == 2}
    assert matrices & dense_still == {"tokens", "types", "positions", "pooler.weight"}
    batch = texts(5, 9)
    found, expected = (InterpreterEncoder(MODEL, weights).encode(batch, "mean") for weights in (done, dense))
    cosines = (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosines.min() > (0.99 if name == "int8" else 0.95)
    assert not np.array_equal(found, expected)


@dataclass(frozen=True)
class Listening:
    """Changes nothing, and keeps what it is told."""

    settings: PassSettings
    needs: Needs
    told: list[Observed]

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        self.told.append(observed)
        return replace(state, notes=(*state.notes, f"{len(self.told)}"))


def listening(monkeypatch: pytest.MonkeyPatch, *needs: Needs) -> list[Listening]:
    """Stand in for the passes of a recipe, in their order."""
    settings = PassSettings.model_validate({"pass": "listening"})
    passes = [Listening(settings, asked, []) for asked in needs]
    left = iter(passes)
    monkeypatch.setattr(pipeline, "make_pass", lambda settings: next(left))
    return passes


def given() -> ModelState:
    return ModelState({}, MODEL, SourceWeights(MODEL, RandomWeights(MODEL).weight), notes=("given",))


MEAN_SQUARE, GRAM = Needs(frozenset({"mean_square"})), Needs(frozenset({"gram"}))
GRAM_BY_BLOCK = Needs(frozenset({"gram"}), "blocks")
WINDOWS = [list(range(12)), list(range(10, 22))]


def test_one_walk_gives_all_that_is_asked_for_of_the_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = listening(monkeypatch, MEAN_SQUARE, GRAM, GRAM_BY_BLOCK)
    run_recipe(given(), read_recipe("int8"), threads=1, calibration=WINDOWS)
    for step in (first, second):
        (observed,) = step.told
        inputs = observed.inputs()
        assert inputs is observed.inputs()
        assert inputs.gram.keys() == observed.linears == all_linears(MODEL)
    assert first.told[0].inputs().mean_square.keys() == all_linears(MODEL)
    assert [set(observed.linears) for observed in third.told] == [
        set(b.linears) for b in find_blocks(main_graph(MODEL))
    ]
    inputs = third.told[0].inputs()
    assert inputs.gram.keys() == third.told[0].linears
    assert not inputs.mean_square


def test_what_only_a_pass_before_asked_for_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = listening(monkeypatch, GRAM, MEAN_SQUARE, Needs())
    run_recipe(given(), read_recipe("int8"), threads=1, calibration=WINDOWS)
    before, after = (step.told[0].inputs() for step in (first, second))
    assert before.gram.keys() == before.mean_square.keys() == after.mean_square.keys() == all_linears(MODEL)
    assert not after.gram


def test_nothing_is_observed_for_a_pass_that_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (step, *_) = listening(monkeypatch, Needs(), Needs(), Needs())
    done = run_recipe(given(), read_recipe("int8"), threads=1)
    assert len(step.told) == 1
    assert done.state.notes == ("given", "1", "1", "1")
    assert [len(state.notes) for state in done.states] == [1, 2, 3, 4]


@pytest.mark.parametrize("needs", [MEAN_SQUARE, GRAM_BY_BLOCK, Needs(teacher=True)])
def test_a_pass_that_needs_tokens_is_not_run_without(monkeypatch: pytest.MonkeyPatch, needs: Needs) -> None:
    listening(monkeypatch, Needs(), needs, Needs())
    with pytest.raises(ParameterError, match="the pass listening needs tokens to calibrate on"):
        run_recipe(given(), read_recipe("int8"), threads=1)


@dataclass(frozen=True)
class InFolder:
    """A store that keeps no weight, of one folder for all passes."""

    folder: Path

    def of_pass(self, number: int) -> InFolder:
        return self

    def load(self, name: str) -> None:
        return None

    def save(self, name: str, weight: Encoded) -> None:
        pass

    def directory(self) -> Path:
        return self.folder


def test_a_pass_that_learns_is_told_of_the_first_model_and_all_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changing, learning = listening(monkeypatch, GRAM, Needs(teacher=True))
    monkeypatch.setattr(pipeline, "OBSERVED_TOKENS", 24)
    source, windows = given(), [list(range(first, first + 12)) for first in range(8)]
    recipe = read_recipe({"passes": [{"pass": "smooth", "strength": 0.5, "junctions": "layers"}] * 2})
    run_recipe(source, recipe, threads=1, calibration=windows, store=InFolder(tmp_path))
    lesson = learning.told[0].lesson
    assert lesson is not None
    assert (lesson.teacher, lesson.windows, lesson.folder) == (source, windows, tmp_path)
    assert changing.told[0].lesson is None
    assert changing.told[0].inputs().tokens == 24  # every fourth window


def test_in_full_is_a_weight_before_it_is_encoded() -> None:
    done = run_recipe(given(), read_recipe("int4-zero-point"), threads=1)
    for name in done.state.weights:
        assert done.in_full(name).kind == "dense"
        assert (done.state.weights[name].kind == "dense") is (name not in done.state.schemes)
