"""What passes that take units out of a model have in common: settings, what they ask of the data, and two steps.

First the columns of the removed units become zero in each matrix that reads them, block by block, so that each block is
pruned on what those before it give by then; shapes stay. Then zero columns, and the rows that make their inputs, are
left out of the whole model at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from honed.compress.base import ModelState, Weights
from honed.compress.narrowing import Indices, narrowed
from honed.compress.needs import Needs, Observed
from honed.compress.prunable import Units
from honed.compress.removal import Wide, damped, energy, largest, least_missed, made_up_for
from honed.compress.settings import PassSettings
from honed.compress.weights import ChangedWeights
from honed.encodings.base import Encoded
from honed.encodings.grouping import CHUNK_VALUES


class UnitSettings(PassSettings):
    """score: by what units are kept: how little the rest can make up for them (`reconstruction`), what they add to the
    outputs (`activation`), or the squares of their weights (`magnitude`, Li et al. 2017). repair: the units that stay
    make up for those that go. damping: a share of the mean of the diagonal of the Gram matrix that is added to the
    diagonal, which holds them near what they were.
    """

    score: Literal["reconstruction", "activation", "magnitude"] = "reconstruction"
    repair: bool = True
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01

    @model_validator(mode="after")
    def _made_up_for(self) -> UnitSettings:
        if self.score == "reconstruction" and not self.repair:
            raise ValueError("score: reconstruction needs repair: true, as it is the error after that")
        return self

    def needs(self, *, single: bool) -> Needs:
        """single: units are of one input each."""
        if self.repair or (self.score == "activation" and not single):
            return Needs(frozenset({"gram"}), "blocks")
        return Needs(frozenset({"mean_square"}), "blocks") if self.score == "activation" else Needs()


@dataclass(frozen=True)
class Plan:
    """`keep` of each of these units, and the fields of the config that then change. note: for a user."""

    units: Sequence[Units]
    keep: int
    counts: Mapping[str, Any]
    note: str


def empty_units(plan: Plan, state: ModelState, observed: Observed, settings: UnitSettings) -> ModelState:
    """The state with zero columns in place of the units that go, of those matrices that `observed` is about."""
    own = {one.consumer.name: one for one in plan.units if one.consumer.name in observed.linears}

    def emptied(name: str) -> Encoded:
        return Emptied(_emptied(own[name], plan.keep, state.weights, observed, settings))

    weights = ChangedWeights.deferred(state.weights, emptied, frozenset(own))
    return replace(state, weights=weights, inputs=None)


def drop_empty_units(plan: Plan, state: ModelState) -> ModelState:
    """The state without those units: other shapes, other config, other model."""
    found: dict[str, Indices] = {}

    def kept(units: Units) -> Indices:
        name = units.consumer.name
        if name not in found:
            found[name] = largest(_squares(state.weights[name], units.columns), plan.keep)
        return found[name]

    after = narrowed(state, plan.units, plan.keep, kept, plan.counts)
    return replace(after, notes=(*after.notes, plan.note))


def _emptied(
    units: Units, keep: int, weights: Weights, observed: Observed, settings: UnitSettings
) -> tuple[NDArray[np.float32], Indices, int]:
    """The columns that stay, which they are, and how many there were."""
    name, columns = units.consumer.name, units.columns
    weight: Wide = weights[name].decode().astype(np.float64)
    gram = None
    if settings.needs(single=columns == 1).statistics == {"gram"}:
        gram = observed.inputs().gram[name]
    match settings.score:
        case "reconstruction":
            assert gram is not None  # `needs` asked for it
            kept = least_missed(weight, damped(gram, settings.damping), columns, keep)
        case "activation" if gram is not None:
            kept = largest(energy(weight, gram, columns), keep)
        case "activation":
            kept = largest(np.square(weight).sum(axis=0) * observed.inputs().mean_square[name], keep)
        case "magnitude":
            kept = largest(_magnitudes(units, weights), keep)
    inputs = (kept[:, None] * columns + np.arange(columns)).ravel()
    values = weight[:, inputs]
    if settings.repair:
        assert gram is not None  # `needs` asked for it
        values = made_up_for(weight, damped(gram, settings.damping), inputs)
    return values.astype(np.float32), inputs, weight.shape[1]


def _magnitudes(units: Units, weights: Weights) -> Wide:
    total = _squares(weights[units.consumer.name], units.columns)
    for name, run in units.rows.items():
        values = weights[name].decode().astype(np.float64)
        total += np.square(values).reshape(units.count, run, -1).sum(axis=(1, 2))
    return total


def _squares(weight: Encoded, columns: int) -> Wide:
    """Of each unit, the sum of the squares of its columns. A range of rows is held at a time."""
    rows, width = weight.shape
    total: Wide = np.zeros(width)
    step = max(1, CHUNK_VALUES // width)
    for first in range(0, rows, step):
        part = weight.decode(slice(first, min(first + step, rows)))
        total += np.square(part, dtype=np.float64).sum(axis=0)
    units: Wide = total.reshape(-1, columns).sum(axis=1)
    return units


@dataclass(frozen=True)
class Emptied:
    """A matrix most of whose columns are there, and the others zero: (those, which they are, how many in all)."""

    parts: tuple[NDArray[np.float32], Indices, int]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.parts[0]), self.parts[2])

    @property
    def nbytes(self) -> int:
        return self.parts[0].nbytes

    @property
    def kind(self) -> str:
        return "emptied"

    def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        values, columns, width = self.parts
        part = values[rows]
        whole = np.zeros((len(part), width), np.float32)
        whole[:, columns] = part
        return whole
