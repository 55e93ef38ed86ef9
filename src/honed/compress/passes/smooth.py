"""Smoothing: moves the spread of activations into the weights, so that int8 activations lose less.

After SmoothQuant (Xiao et al. 2023, equation 4): with s_j = rms(x_j)^a / max|w_j|^(1 - a) for every input feature j
of a group of linear layers, x / s and w * s multiply to the same result. The division costs nothing at run time,
because what produces x takes it: the weight of the RMS norm before q, k, v and before gate, up; the rows of `up`
before `down` (`junctions.py`). s is rounded to powers of two, so in floating point nothing changes at all: smoothed
dense weights give the same logits to the bit (short of overflow), and only what is rounded afterwards differs.

Powers of two change what enters linear layers by just that, so several smoothings in a row observe the model once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from honed.compress.base import ModelState, TiedHead, Weights
from honed.compress.junctions import Junction, find_junctions
from honed.compress.linears import HEAD, find_linears
from honed.compress.needs import Columns, Inputs, InputStatistics, Needs, Observed
from honed.compress.once import Once
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded


class SmoothSettings(PassSettings):
    """Settings of the pass `smooth`: 0 leaves outliers in the activations, 1 moves all of them into the weights.

    junctions: where it acts, on the inputs of `layers`, on that of the output `head`, or on both. Layers that lie on a
    grid of few bits leave it when they are smoothed.
    """

    kind: Annotated[Literal["smooth"], Field(alias="pass")]
    strength: Annotated[float, Field(gt=0, lt=1)] = 0.5
    junctions: Literal["all", "layers", "head"] = "all"


@dataclass(frozen=True)
class Smooth:
    """See `compress.base.Pass`. Weights at a junction are found at the first of them, the others are as they were."""

    settings: SmoothSettings
    needs: ClassVar[Needs] = Needs(frozenset({"mean_square"}))

    def apply(self, state: ModelState, observed: Observed, *, threads: int) -> ModelState:
        """`threads` has no effect."""
        junctions = find_junctions(state.model, head_apart=HEAD in state.weights)
        if self.settings.junctions != "all":
            head, wanted = find_linears(state.model).head_name, self.settings.junctions == "head"
            junctions = tuple(at for at in junctions if (head in {weight.name for weight in at.consumers}) is wanted)
        found = _Smoothing(junctions, state.weights, observed.inputs, self.settings.strength)
        return replace(
            state,
            weights=ChangedWeights.deferred(state.weights, found.weight, found.changed),
            tied_head=found.tied_head(state.tied_head),
            inputs=found.inputs,
        )


@dataclass(frozen=True)
class _Smoothing:
    """What one smoothing comes to, once it is asked for."""

    junctions: tuple[Junction, ...]
    source: Weights
    source_inputs: Inputs
    strength: float
    _once: Once[Mapping[str, Scaled]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        def find() -> Mapping[str, Scaled]:
            return smoothed(self.junctions, self.source, self.source_inputs(), strength=self.strength)

        object.__setattr__(self, "_once", Once(find))

    @property
    def changed(self) -> frozenset[str]:
        return frozenset(weight.name for at in self.junctions for weight in (at.producer, *at.consumers))

    def weight(self, name: str) -> Encoded:
        return self._smoothed[name]

    def tied_head(self, before: TiedHead) -> TiedHead:
        along = frozenset(junction.producer.name for junction in self.junctions if junction.apart)
        return before if not along else TiedHead(before.along | along, (*before.factors, self._head_factors))

    def inputs(self) -> InputStatistics:
        factors: dict[str, Columns] = {}
        for junction in self.junctions:
            divisor = self._smoothed[junction.producer.name].rows
            assert divisor is not None  # every producer has its rows divided
            # An encoded head apart from its table has no inputs of its own: they are noted under the table's name.
            names = [junction.measured] if junction.apart else [consumer.name for consumer in junction.consumers]
            factors |= dict.fromkeys(names, divisor)
        return self.source_inputs().divided(factors)

    def _head_factors(self) -> Columns:
        columns = self._smoothed[HEAD].columns
        assert columns is not None  # a junction that is apart has the head as its one consumer
        return columns

    @property
    def _smoothed(self) -> Mapping[str, Scaled]:
        return self._once()


@dataclass(frozen=True)
class Scaled:
    """A weight times powers of two: columns (input features) multiplied, rows (or a vector) divided. Exact."""

    source: Encoded
    columns: NDArray[np.float32] | None
    rows: NDArray[np.float32] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    @property
    def kind(self) -> str:
        return "scaled"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values = self.source.decode(rows)
        if self.columns is not None:
            values = values * self.columns
        if self.rows is not None:
            divisor = self.rows[rows]
            values = values / (divisor if values.ndim == 1 else divisor[:, None])
        return values


def smoothed(
    junctions: Iterable[Junction], weights: Mapping[str, Encoded], statistics: InputStatistics, *, strength: float
) -> dict[str, Scaled]:
    """The weights at junctions by name. Reads the consumers of each junction once."""
    columns: dict[str, NDArray[np.float32]] = {}
    rows: dict[str, NDArray[np.float32]] = {}
    for junction in junctions:
        factors = smoothing_factors(junction, statistics, weights, strength)
        rows[junction.producer.name] = factors
        for consumer in junction.consumers:
            columns[consumer.name] = factors
    names = dict.fromkeys((*columns, *rows))
    return {name: Scaled(weights[name], columns.get(name), rows.get(name)) for name in names}


def smoothing_factors(
    junction: Junction, statistics: InputStatistics, weights: Mapping[str, Encoded], strength: float
) -> NDArray[np.float32]:
    """s for every feature, powers of two with a geometric mean near one. Features that are always zero get 1."""
    rms = statistics.rms(junction.measured)
    largest = np.zeros(rms.shape)
    for consumer in junction.consumers:
        largest = np.maximum(largest, np.abs(weights[consumer.name].decode()).max(axis=0))
    live = (rms > 0) & (largest > 0)
    exponents = np.zeros(rms.shape)
    exponents[live] = strength * np.log2(rms[live]) - (1 - strength) * np.log2(largest[live])
    if live.any():
        exponents[live] -= exponents[live].mean()
    factors: NDArray[np.float32] = np.exp2(np.clip(np.rint(exponents), -24, 24)).astype(np.float32)
    return factors
