"""Smoothing as a pass: what `smooth.py` computes, put between the weights and the pass that rounds them.

Nothing is read when the pass is applied. The calibration tokens run through the model when the first weight that
takes part is decoded, once for all passes of a recipe: powers of two change the inputs of layers by just that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honed.compress.base import Inputs, Report, Weights
from honed.compress.calibrate import InputStatistics
from honed.compress.linears import HEAD, find_linears
from honed.compress.recipe import SmoothSettings
from honed.compress.round_to_nearest import dense_scheme
from honed.compress.smooth import Junction, Scaled, find_junctions, smoothed
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

    def apply(self, model: DecoderModel, weights: Weights, *, threads: int, inputs: Inputs | None) -> SmoothedWeights:
        """`threads` has no effect. ParameterError without calibration tokens."""
        if inputs is None:
            raise ParameterError("calibration", None, f"the pass {self.name} needs tokens to calibrate on")
        junctions = find_junctions(model, head_apart=HEAD in weights)
        if self.settings.junctions != "all":
            head, wanted = find_linears(model).head_name, self.settings.junctions == "head"
            junctions = tuple(at for at in junctions if (head in {weight.name for weight in at.consumers}) is wanted)
        return SmoothedWeights(self.name, weights, inputs, self.settings.strength, junctions)


@dataclass
class SmoothedWeights:
    """See `compress.base.Compressed`. Weights at a junction are deferred, the others as they were."""

    name: str
    source: Weights
    source_inputs: Inputs
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

    @property
    def inputs(self) -> Inputs:
        return self._divided_inputs

    def weight(self, name: str) -> Encoded:
        source = self.source[name]
        if name not in self._parts:
            return source
        return DeferredWeight(source, lambda: self._all()[name])

    def report(self) -> Report:
        return Report(self.name, (), ())

    def _divided_inputs(self) -> InputStatistics:
        weights = self._all()
        factors: dict[str, NDArray[np.float32]] = {}
        for junction in self.junctions:
            producer = weights[junction.producer.name]
            assert isinstance(producer, Scaled) and producer.rows is not None
            # An encoded head apart from its table has no inputs of its own: they are noted under the table's name.
            names = [junction.measured] if junction.apart else [consumer.name for consumer in junction.consumers]
            factors |= dict.fromkeys(names, producer.rows)
        return self.source_inputs().divided(factors)

    def _all(self) -> Mapping[str, Encoded]:
        if not self._smoothed:
            self._smoothed = smoothed(self.junctions, self.source, self.source_inputs(), strength=self.strength)
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
