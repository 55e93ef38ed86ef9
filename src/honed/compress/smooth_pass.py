"""Smoothing as a pass: what `smooth.py` computes, put between the weights and the pass that rounds them.

Nothing is read when the pass is applied. The calibration tokens run through the model when the first weight that
takes part is decoded, once, and every later weight uses what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import Report, Weights
from honed.compress.calibrate import Tokens, collect_inputs
from honed.compress.linears import HEAD, find_linears
from honed.compress.recipe import SmoothSettings
from honed.compress.round_to_nearest import dense_scheme
from honed.compress.smooth import Junction, find_junctions, smoothed
from honed.encodings.base import Encoded
from honed.encodings.scheme import Scheme
from honed.errors import ParameterError
from honed.models.base import DecoderModel


@dataclass(frozen=True)
class Smooth:
    settings: SmoothSettings

    @property
    def name(self) -> str:
        return self.settings.kind

    def apply(self, model: DecoderModel, weights: Weights, *, threads: int, calibration: Tokens) -> SmoothedWeights:
        """`threads` has no effect. ParameterError without calibration tokens."""
        if not calibration:
            raise ParameterError("calibration", None, f"the pass {self.name} needs tokens to calibrate on")
        junctions = find_junctions(model, head_apart=HEAD in weights)
        if self.settings.junctions != "all":
            head, wanted = find_linears(model).head_name, self.settings.junctions == "head"
            junctions = tuple(at for at in junctions if (head in {weight.name for weight in at.consumers}) is wanted)
        return SmoothedWeights(self.name, model, weights, calibration, self.settings.strength, junctions)


@dataclass
class SmoothedWeights:
    """See `compress.base.Compressed`. Weights at a junction are deferred, the others as they were."""

    name: str
    model: DecoderModel
    source: Weights
    calibration: Tokens
    strength: float
    junctions: tuple[Junction, ...]
    _smoothed: dict[str, Encoded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._parts = {weight.name for at in self.junctions for weight in (at.producer, *at.consumers)}

    @property
    def schemes(self) -> Mapping[str, Scheme]:
        return {name: dense_scheme(self.weight(name)) for name in self.source}

    @property
    def with_head(self) -> Set[str]:
        return {junction.producer.name for junction in self.junctions if junction.apart}

    def weight(self, name: str) -> Encoded:
        source = self.source[name]
        if name not in self._parts:
            return source
        return DeferredWeight(source, lambda: self._all()[name])

    def report(self) -> Report:
        return Report(self.name, (), ())

    def _all(self) -> Mapping[str, Encoded]:
        if not self._smoothed:
            statistics = collect_inputs(self.model, lambda name: self.source[name].decode(), self.calibration)
            self._smoothed = smoothed(self.junctions, self.source, statistics, strength=self.strength)
        return self._smoothed


@dataclass(frozen=True)
class DeferredWeight:
    """A weight of known shape whose values are found when they are asked for."""

    source: Encoded
    resolve: Callable[[], Encoded]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def kind(self) -> str:
        return "deferred"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        return self.resolve().decode(rows)
