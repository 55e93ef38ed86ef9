"""Runs the passes of a recipe over the weights of a model. Which pass a setting means is the registry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from honed.compress.base import Compressed, Inputs, Pass, Report, Weights
from honed.compress.calibrate import InputStatistics, Tokens, collect_inputs
from honed.compress.linears import HEAD, find_linears
from honed.compress.recipe import Recipe
from honed.compress.round_to_nearest import RoundToNearest
from honed.compress.smooth_pass import Smooth
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.models.base import DecoderModel

PASSES: dict[str, Callable[[Any], Pass]] = {
    "round_to_nearest": RoundToNearest,
    "smooth": Smooth,
}


@dataclass(frozen=True)
class Pipeline:
    """The weights after the last pass, computed when asked for, and the reports of all passes."""

    stages: tuple[Compressed, ...]
    before_last: Weights
    """What the last pass, which encodes, is given: the model in full precision after all passes before it."""

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        return self.stages[-1].schemes

    @property
    def with_head(self) -> Set[str]:
        """Weights that some pass changed along with a tied head: see `compress.base.Compressed`."""
        return frozenset().union(*(stage.with_head for stage in self.stages))

    def weight(self, name: str) -> Encoded:
        return self.stages[-1].weight(name)

    def reports(self) -> tuple[Report, ...]:
        return tuple(stage.report() for stage in self.stages)


def compress_weights(
    model: DecoderModel, weights: Weights, recipe: Recipe, *, threads: int, calibration: Tokens = ()
) -> Pipeline:
    """Chains the passes of a recipe. Nothing is computed yet; see `compress.base.Weights` for what is given."""
    stages: list[Compressed] = []
    given = current = weights
    inputs: Inputs | None = None
    for settings in recipe.passes:
        given = current
        if calibration and inputs is None:
            inputs = _measured(model, given, calibration)
        stages.append(PASSES[settings.kind](settings).apply(model, given, threads=threads, inputs=inputs))
        inputs = stages[-1].inputs
        current = _Output(stages[-1], given)
    return Pipeline(tuple(stages), given)


def _measured(model: DecoderModel, weights: Weights, calibration: Tokens) -> Inputs:
    @cache
    def measure() -> InputStatistics:
        return collect_inputs(model, lambda name: weights[name].decode(), calibration)

    return measure


class SourceWeights(Mapping[str, Encoded]):
    """The weights that a model names, read when asked for.

    With `head_apart` a tied head is there under `lm_head.weight` too, to become a weight of its own.
    """

    def __init__(self, model: DecoderModel, read: Callable[[str], Encoded], *, head_apart: bool = True) -> None:
        linears = find_linears(model)
        self._origin = {name: name for name in model.weights()}
        if linears.tied and head_apart:
            self._origin[HEAD] = linears.embedding.name
        self._read = read

    def __getitem__(self, name: str) -> Encoded:
        return self._read(self._origin[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._origin)

    def __len__(self) -> int:
        return len(self._origin)


class _Output(Mapping[str, Encoded]):
    def __init__(self, stage: Compressed, given: Weights) -> None:
        self._stage, self._names = stage, tuple(given)

    def __getitem__(self, name: str) -> Encoded:
        return self._stage.weight(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
