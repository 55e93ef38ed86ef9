"""One choice for each of several items, with the least cost in all that a budget allows: the multiple-choice knapsack.

Solved exactly. A multiplier of the budget gives a lower bound of what any solution costs (Lagrangian relaxation; Sinha
and Zoltners 1979), and the solutions that it meets on the way an upper one. Between the two, items are joined one after
the other: of the pairs (weight, cost) that they come to together those are kept that no other one beats in both, and
that the bound does not rule out (dynamic programming by lists with fathoming; Pisinger 1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honed.errors import ParameterError

_ROUNDS = 100
_MOST_STATES = 1 << 22
_SLACK = 1e-12
"""Relative, of sums in another order."""


@dataclass(frozen=True)
class Option:
    """What a choice takes of the budget, and what it costs. Weights are whole numbers, at least 0."""

    weight: int
    cost: float


def least_cost(items: Sequence[Sequence[Option]], budget: int) -> tuple[int, ...]:
    """The number of the option of each item. The sum of their weights is at most `budget`, and no other choice within
    it costs less.

    ParameterError where nothing fits, with the least that would.
    """
    lightest = sum(min(option.weight for option in item) for item in items)
    if lightest > budget:
        raise ParameterError("budget", budget, f"must be at least {lightest}: the lightest choice of all takes that")
    undominated = [_undominated(item) for item in items]
    bound = _bounds(undominated, items, budget)
    chosen = _joined(undominated, items, budget, bound)
    return tuple(chosen)


def _undominated(item: Sequence[Option]) -> list[int]:
    """Numbers of options that no other one beats in weight and cost, by weight."""
    kept: list[int] = []
    for number in sorted(range(len(item)), key=lambda one: (item[one].weight, item[one].cost)):
        if not kept or item[number].cost < item[kept[-1]].cost:
            kept.append(number)
    return kept


@dataclass(frozen=True)
class _Bound:
    """At `multiplier` (cost for a unit of the budget) item i adds at least `reduced[i]` to cost + multiplier * weight.
    `cost` is that of a choice within the budget."""

    multiplier: float
    reduced: NDArray[np.float64]
    cost: float


def _bounds(undominated: Sequence[Sequence[int]], items: Sequence[Sequence[Option]], budget: int) -> _Bound:
    """The multiplier at which the relaxed choice crosses the budget, by halving."""

    def relaxed(multiplier: float) -> tuple[NDArray[np.float64], int, float]:
        picked = [
            min(kept, key=lambda one: (item[one].cost + multiplier * item[one].weight, item[one].weight))
            for kept, item in zip(undominated, items, strict=True)
        ]
        found = [item[one] for one, item in zip(picked, items, strict=True)]
        reduced = np.array([option.cost + multiplier * option.weight for option in found])
        return reduced, sum(option.weight for option in found), sum(option.cost for option in found)

    reduced, weight, cost = relaxed(0.0)
    if weight <= budget:
        return _Bound(0.0, reduced, cost)
    low, high = 0.0, 1.0
    while relaxed(high)[1] > budget:
        low, high = high, high * 4
    best = relaxed(high)[2]
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        _, weight, cost = relaxed(middle)
        if weight > budget:
            low = middle
        else:
            high, best = middle, min(best, cost)
    reduced, _, cost = relaxed(high)
    return _Bound(high, reduced, min(best, cost))


def _joined(
    undominated: Sequence[Sequence[int]], items: Sequence[Sequence[Option]], budget: int, bound: _Bound
) -> list[int]:
    weights, costs = np.zeros(1, np.int64), np.zeros(1)
    steps: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    least_left = np.concatenate([np.cumsum(bound.reduced[::-1])[::-1], [0.0]])
    lightest = [min(item[one].weight for one in kept) for kept, item in zip(undominated, items, strict=True)]
    weight_left = np.concatenate([np.cumsum(lightest[::-1])[::-1], [0]]).astype(np.int64)
    limit = bound.cost + _SLACK * max(1.0, abs(bound.cost))
    for number, (kept, item) in enumerate(zip(undominated, items, strict=True)):
        own_weights = np.array([item[one].weight for one in kept], np.int64)
        own_costs = np.array([item[one].cost for one in kept])
        joined_weights = (weights[:, None] + own_weights).ravel()
        joined_costs = (costs[:, None] + own_costs).ravel()
        # What is left costs at least its reduced cost less what the multiplier gives for the budget.
        least = joined_costs + bound.multiplier * joined_weights + least_left[number + 1] - bound.multiplier * budget
        slack = _SLACK * (abs(bound.multiplier) * budget + bound.reduced.sum())
        fits = joined_weights + weight_left[number + 1] <= budget
        order = np.flatnonzero(fits & (least <= limit + slack))
        order = order[np.lexsort((joined_costs[order], joined_weights[order]))]
        best = np.minimum.accumulate(joined_costs[order])
        better = np.concatenate([[True], joined_costs[order][1:] < best[:-1]])
        order = order[better]
        if len(order) > _MOST_STATES:
            raise ParameterError(
                "budget", budget, f"leaves {len(order)} choices to compare; round weights to fewer steps"
            )
        steps.append((order // len(kept), order % len(kept)))
        weights, costs = joined_weights[order], joined_costs[order]
    place = int(np.argmin(costs))
    chosen = []
    for (before, picked), kept in zip(reversed(steps), reversed(undominated), strict=True):
        chosen.append(kept[int(picked[place])])
        place = int(before[place])
    return chosen[::-1]
