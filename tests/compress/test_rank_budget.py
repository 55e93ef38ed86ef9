from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.rank_budget import Layer, even_ranks, fewer_parameters, ranks_by_energy

SQUARE, WIDE, SMALL = Layer(256, 256), Layer(512, 128), Layer(64, 64)


def decaying(layer: Layer, rate: float) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.exp(-rate * np.arange(min(layer.outputs, layer.inputs)))
    return found


def kept(layers: list[Layer], ranks: tuple[int | None, ...]) -> int:
    return sum(layer.of_rank(rank) if rank else layer.parameters for layer, rank in zip(layers, ranks, strict=True))


def test_the_ranks_of_a_layer_are_those_at_which_it_is_smaller_and_faster() -> None:
    assert list(SQUARE.ranks(32, fewer_parameters)) == [32, 64, 96]  # at 128 it is as large as it was
    assert list(WIDE.ranks(32, fewer_parameters)) == [32, 64, 96]
    assert list(SMALL.ranks(32, fewer_parameters)) == []
    assert list(SQUARE.ranks(32, lambda outputs, inputs, rank: rank <= 64)) == [32, 64]
    assert list(SQUARE.ranks(64, fewer_parameters)) == [64]


def test_even_ranks_keep_no_more_than_their_share() -> None:
    layers = [SQUARE, WIDE, SMALL]
    assert even_ranks(layers, 0.8, multiple=32, faster=fewer_parameters) == (96, 64, None)
    assert even_ranks(layers, 0.5, multiple=32, faster=fewer_parameters) == (64, 32, None)
    assert even_ranks(layers, 0.1, multiple=32, faster=fewer_parameters) == (None, None, None)


def test_where_energy_falls_fast_more_goes_away() -> None:
    layers = [SQUARE, SQUARE, SQUARE]
    energies = [decaying(SQUARE, rate) for rate in (0.001, 0.05, 0.2)]
    ranks = ranks_by_energy(layers, energies, 0.6, multiple=32, faster=fewer_parameters)
    assert ranks[0] is None
    assert ranks[2] is not None
    assert ranks[1] is not None
    assert ranks[2] <= ranks[1]
    assert kept(layers, ranks) <= 0.6 * 3 * SQUARE.parameters


@pytest.mark.parametrize("share", [0.3, 0.5, 0.65, 0.8, 0.95])
def test_no_other_choice_of_that_size_loses_much_less(share: float) -> None:
    """The hull is the optimum at its corners; between them at most one step of one layer is left."""
    layers = [SQUARE, WIDE, Layer(128, 384)]
    random = np.random.default_rng(3)
    energies = [np.sort(np.exp(random.normal(0, 2, min(layer.outputs, layer.inputs))))[::-1] for layer in layers]

    def lost(ranks: tuple[int | None, ...]) -> float:
        return sum(
            float(own[rank:].sum() / own.sum()) if rank else 0.0 for own, rank in zip(energies, ranks, strict=True)
        )

    found = ranks_by_energy(layers, energies, share, multiple=32, faster=fewer_parameters)
    total = sum(layer.parameters for layer in layers)
    assert kept(layers, found) <= share * total
    choices = product(*([*layer.ranks(32, fewer_parameters), None] for layer in layers))
    best = min((ranks for ranks in choices if kept(layers, ranks) <= share * total), key=lost)
    step = max(own[:32].sum() / own.sum() for own in energies)
    assert lost(best) <= lost(found) <= lost(best) + step


def test_what_is_not_faster_stays_and_the_others_make_up_for_it() -> None:
    layers = [SQUARE, SQUARE]
    energies = [decaying(SQUARE, 0.2), decaying(SQUARE, 0.001)]

    assert ranks_by_energy(layers, energies, 0.5, multiple=32, faster=lambda *_: False) == (None, None)
    assert ranks_by_energy(
        [SMALL, SQUARE], [decaying(SMALL, 1), energies[1]], 0.5, multiple=32, faster=fewer_parameters
    ) == (
        None,
        32,
    )


def test_energies_that_are_all_zero_lose_nothing() -> None:
    ranks = ranks_by_energy([SQUARE], [np.zeros(256)], 0.5, multiple=32, faster=fewer_parameters)
    assert ranks == (32,)
