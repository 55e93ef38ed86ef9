"""Which rank each group of layers gets, where so many parameters of all of them may stay.

A layer of few ranks has fewer parameters, one of many has more than the layer itself, which then stays as it is: so
each group has a list of choices, and what a choice costs and loses is known. Not here: where the losses come from.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Faster = Callable[[int, int, int], bool]
"""Whether a layer of (outputs, inputs) is faster as two products of a rank, which is the third. For a rank that it is
not, it is not for any larger one either."""


def fewer_parameters(outputs: int, inputs: int, rank: int) -> bool:
    """What is known without a measurement: fewer bytes are read, and fewer products made."""
    return rank * (outputs + inputs) < outputs * inputs


@dataclass(frozen=True)
class Layer:
    """Layers of one input, which share a first factor: one matrix to who counts."""

    outputs: int
    inputs: int

    @property
    def parameters(self) -> int:
        return self.outputs * self.inputs

    def of_rank(self, rank: int) -> int:
        """Parameters of its two factors."""
        return rank * (self.outputs + self.inputs)

    def ranks(self, multiple: int, faster: Faster) -> range:
        """Those that it may have: multiples of `multiple` at which it is smaller and faster. The largest is found by
        halving, as asking may be a measurement."""
        most = (self.parameters - 1) // (self.outputs + self.inputs) // multiple
        slower = bisect_left(
            range(1, most + 1), True, key=lambda count: not faster(self.outputs, self.inputs, count * multiple)
        )
        return range(multiple, (slower + 1) * multiple, multiple)


def even_ranks(layers: Sequence[Layer], kept: float, *, multiple: int, faster: Faster) -> tuple[int | None, ...]:
    """Each layer keeps that share of its parameters, or a little less; None where it is not faster then."""

    def rank_of(layer: Layer) -> int | None:
        fitting = [rank for rank in layer.ranks(multiple, faster) if layer.of_rank(rank) <= kept * layer.parameters]
        return fitting[-1] if fitting else None

    return tuple(map(rank_of, layers))


def ranks_by_energy(
    layers: Sequence[Layer], energies: Sequence[NDArray[np.float64]], kept: float, *, multiple: int, faster: Faster
) -> tuple[int | None, ...]:
    """The layers together keep that share of their parameters, spent where the most energy of the outputs is had for a
    parameter. `energies` of each, as `LowRank` has them, count as shares of its own.

    What a group loses falls with its parameters in steps that need not shrink: the last one, to the layer as it is,
    loses nothing. Steps are taken along the lower convex hull, the steepest of all groups first, which is the least
    loss at every budget that a step ends at (Everett 1963). Groups that may have no rank stay as they are.
    """
    choices = [
        _hull(_choices(layer, own, layer.ranks(multiple, faster))) for layer, own in zip(layers, energies, strict=True)
    ]
    budget = kept * sum(layer.parameters for layer in layers) - sum(found[0].parameters for found in choices)
    steps = sorted(
        (
            (before.loss - after.loss) / (before.parameters - after.parameters),
            number,
            place,
        )
        for number, found in enumerate(choices)
        for place, (before, after) in enumerate(pairwise(found), start=1)
    )
    taken = [0] * len(choices)
    for _, number, place in steps:
        cost = choices[number][place].parameters - choices[number][place - 1].parameters
        if taken[number] == place - 1 and cost <= budget:
            taken[number], budget = place, budget - cost
    return tuple(found[place].rank for found, place in zip(choices, taken, strict=True))


@dataclass(frozen=True)
class _Choice:
    """`rank` None: the layer as it is."""

    rank: int | None
    parameters: int
    loss: float


def _choices(layer: Layer, energies: NDArray[np.float64], ranks: range) -> list[_Choice]:
    """By parameters, ascending, each losing less than the one before it."""
    lost = np.maximum(energies.sum() - np.cumsum(energies), 0.0) / max(float(energies.sum()), np.finfo(float).tiny)
    found = [_Choice(rank, layer.of_rank(rank), float(lost[rank - 1])) for rank in ranks]
    return [*found, _Choice(None, layer.parameters, 0.0)]


def _hull(choices: Sequence[_Choice]) -> list[_Choice]:
    """Those on the lower convex hull of loss over parameters."""
    kept: list[_Choice] = []
    for choice in choices:
        while len(kept) > 1 and _above(kept[-2], kept[-1], choice):
            kept.pop()
        kept.append(choice)
    return kept


def _above(first: _Choice, middle: _Choice, last: _Choice) -> bool:
    """Whether the middle lies on or above the line from the first to the last."""
    through = (last.loss - first.loss) * (middle.parameters - first.parameters)
    return (middle.loss - first.loss) * (last.parameters - first.parameters) >= through
