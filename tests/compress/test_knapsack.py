"""The choice is the best of all: as trying every one gives it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from honed.compress.knapsack import Option, least_cost
from honed.errors import ParameterError

Items = list[list[Option]]


def cheapest(items: Items, budget: int) -> float:
    costs = [
        sum(option.cost for option in choice)
        for choice in itertools.product(*items)
        if sum(option.weight for option in choice) <= budget
    ]
    return min(costs)


def random_items(seed: int) -> Items:
    """Of few weights, as layers of one shape have, or of any; options that are no use among them."""
    rng = np.random.default_rng(seed)
    most = int(rng.choice([4, 1000]))

    def option() -> Option:
        cost = rng.random() if rng.integers(2) else rng.integers(0, 4)
        return Option(int(rng.integers(0, most)), float(cost))

    return [[option() for _ in range(count)] for count in rng.integers(1, 5, rng.integers(1, 8))]


@pytest.mark.parametrize("seed", range(150))
def test_no_other_choice_within_the_budget_costs_less(seed: int) -> None:
    items = random_items(seed)
    lightest = sum(min(option.weight for option in item) for item in items)
    heaviest = sum(max(option.weight for option in item) for item in items)
    for budget in {lightest, *np.linspace(lightest, heaviest, 7).astype(int).tolist(), heaviest + 1}:
        chosen = [item[number] for item, number in zip(items, least_cost(items, budget), strict=True)]
        assert sum(option.weight for option in chosen) <= budget
        assert sum(option.cost for option in chosen) == pytest.approx(cheapest(items, budget), rel=1e-12, abs=1e-12)


def test_where_the_relaxed_choice_is_not_the_best() -> None:
    """The best saving for each unit of weight is not taken, as it leaves no room for two that are better together."""
    items = [[Option(0, 10.0), Option(6, 0.0)], [Option(0, 7.0), Option(5, 0.0)], [Option(0, 7.0), Option(5, 0.0)]]
    assert least_cost(items, 10) == (0, 1, 1)
    assert least_cost(items, 11) == (1, 0, 1) or least_cost(items, 11) == (1, 1, 0)
    assert least_cost(items, 16) == (1, 1, 1)


def test_many_layers_of_a_few_shapes_are_chosen_exactly() -> None:
    """Dynamic programming over every weight is the other way to the same answer."""
    rng = np.random.default_rng(5)
    sizes = [(36, 68), (36, 68), (60, 102), (12, 30)]
    items = []
    for number in range(120):
        small, large = sizes[number % 4]
        error = float(rng.lognormal(-5, 1.5))
        items.append([Option(small, error), Option((small + large) // 2, error / 5), Option(large, error / 300)])
    budget = 6000
    table = np.full(budget + 1, np.inf)
    table[0] = 0
    for item in items:
        table = np.min(
            [
                np.concatenate([np.full(one.weight, np.inf), table[: budget + 1 - one.weight] + one.cost])
                for one in item
            ],
            axis=0,
        )
    chosen = least_cost(items, budget)
    assert sum(item[number].cost for item, number in zip(items, chosen, strict=True)) == pytest.approx(table.min())


def test_a_budget_that_nothing_fits_says_what_would() -> None:
    with pytest.raises(ParameterError, match="at least 7"):
        least_cost([[Option(3, 1.0), Option(9, 0.0)], [Option(4, 1.0)]], 6)
