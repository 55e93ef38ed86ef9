"""Runs the passes of a recipe over the weights of a model. Which pass a setting means is the registry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from honed.compress.base import Compressed, Pass, Report, Weights
from honed.compress.linears import HEAD, find_linears
from honed.compress.recipe import Recipe
from honed.compress.round_to_nearest import RoundToNearest
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.models.base import DecoderModel

PASSES: dict[str, Callable[[Any], Pass]] = {
    "round_to_nearest": RoundToNearest,
}


@dataclass(frozen=True)
class Pipeline:
    """The weights after the last pass, computed when asked for, and the reports of all passes."""

    stages: tuple[Compressed, ...]

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        return self.stages[-1].schemes

    def weight(self, name: str) -> Encoded:
        return self.stages[-1].weight(name)

    def reports(self) -> tuple[Report, ...]:
        return tuple(stage.report() for stage in self.stages)


def compress_weights(model: DecoderModel, weights: Weights, recipe: Recipe, *, threads: int) -> Pipeline:
    """Chains the passes of a recipe. Nothing is computed yet; `weights` holds a tied head under its own name too."""
    stages: list[Compressed] = []
    current = weights
    for settings in recipe.passes:
        stages.append(PASSES[settings.kind](settings).apply(model, current, threads=threads))
        current = _Output(stages[-1])
    return Pipeline(tuple(stages))


class SourceWeights(Mapping[str, Encoded]):
    """The weights that a model names, read when asked for; a tied head is there under `lm_head.weight` too."""

    def __init__(self, model: DecoderModel, read: Callable[[str], Encoded]) -> None:
        linears = find_linears(model)
        self._origin = {name: name for name in model.weights()}
        if linears.tied:
            self._origin[HEAD] = linears.embedding.name
        self._read = read

    def __getitem__(self, name: str) -> Encoded:
        return self._read(self._origin[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._origin)

    def __len__(self) -> int:
        return len(self._origin)


class _Output(Mapping[str, Encoded]):
    def __init__(self, stage: Compressed) -> None:
        self._stage = stage

    def __getitem__(self, name: str) -> Encoded:
        return self._stage.weight(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stage.schemes)

    def __len__(self) -> int:
        return len(self._stage.schemes)
