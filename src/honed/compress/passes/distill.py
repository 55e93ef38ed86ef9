"""Distillation (Hinton et al. 2015): trains a model that passes before this one made smaller, or that the one behind it
is going to round, on what the model before all passes makes of the calibration text.

How is in `training/`, which needs torch and is imported when the first weight is asked for. Shapes stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from honed.compress.base import ModelState
from honed.compress.layer_schemes import LayerSchemes, choose_schemes
from honed.compress.layer_settings import EncodingSettings
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Lesson, Needs, Observed
from honed.compress.once import Once
from honed.compress.settings import PassSettings
from honed.compress.training.settings import TrainingSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import MachineError, ParameterError

if TYPE_CHECKING:
    from honed.compress.training.fake_quantization import Rounding


class DistillSettings(PassSettings, TrainingSettings):
    """Settings of the pass `distill`."""

    kind: Annotated[Literal["distill"], Field(alias="pass")]


@dataclass(frozen=True)
class Distill:
    """See `compress.base.Pass`. A tied head and its table stay one weight. ParameterError for a head that has come
    apart from its table, MachineError without torch."""

    settings: DistillSettings
    needs: ClassVar[Needs] = Needs(teacher=True)

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        assert observed.lesson is not None
        if state.tied_head.along:
            problem = "has come apart from its table before this pass; put the pass that did so, such as smooth, behind"
            raise ParameterError("distill", HEAD, problem)
        if state.schemes:
            raise ParameterError("distill", min(state.schemes), "is encoded already; distill comes before that")
        if find_spec("torch") is None:
            raise MachineError("the pass distill needs torch, which is not installed: pip install 'honed[train]'")
        trained = _Training(self.settings, state, observed.lesson, threads)
        linears = find_linears(state.model)
        table = {HEAD: linears.embedding.name} if linears.tied else {}
        weights = ChangedWeights.deferred(
            state.weights, lambda name: trained.weight(table.get(name, name)), frozenset(state.weights)
        )
        notes = (*state.notes, *trained.notes)
        return replace(state, weights=weights, inputs=None, notes=notes)


class _Training:
    """Runs when its first weight is asked for, and keeps all that it comes to."""

    def __init__(self, settings: DistillSettings, state: ModelState, lesson: Lesson, threads: int) -> None:
        self._settings, self._state, self._lesson, self._threads = settings, state, lesson, threads
        self._chosen = _chosen(settings, state)
        self._train = Once(self._trained)

    @property
    def notes(self) -> tuple[str, ...]:
        if self._settings.minutes is None:
            return ()
        return (
            f"trained for {self._settings.minutes:g} minutes, which this machine may not come to the same weights in "
            "again; with steps instead it does",
        )

    def weight(self, name: str) -> Encoded:
        return self._train()[name]

    def _trained(self) -> Mapping[str, Encoded]:
        from honed.compress.training.train import train

        found = train(
            self._state,
            self._lesson.teacher,
            self._lesson.windows,
            self._settings,
            roundings=self._roundings(),
            folder=self._lesson.folder,
            threads=self._threads,
        )
        return {name: Dense(values, "float32") for name, values in found.items()}

    def _roundings(self) -> dict[str, Rounding]:
        from honed.compress.training.fake_quantization import Rounding

        linears = find_linears(self._state.model)
        table = {HEAD: linears.embedding.name} if linears.tied else {}
        return {
            table.get(name, name): Rounding(scheme, self._chosen.settings[name].weights.search)
            for name, scheme in self._chosen.schemes.items()
        }


def _chosen(settings: DistillSettings, state: ModelState) -> LayerSchemes:
    """What the pass behind this one is going to store, as it will choose it."""
    if settings.quantized is None:
        return LayerSchemes({}, {}, ())
    asked = settings.quantized.model_dump(by_alias=True, exclude={"refresh"})
    encoding = EncodingSettings.model_validate({"pass": "distill", **asked})
    return choose_schemes(state.model, state.weights, encoding)
