"""Both ways through a block give the same values and show the same rows, and each hands on to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from honed.compress.observed_blocks import Crossing, PlacedBlock, place_blocks
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.models.registry import read_model
from tiny_encoder import RandomWeights, TinyEncoder
from tiny_models import SIZES

TOKENS = np.array([[3, 4, 5, 6, 7], [12, 3, 3, 14, 15]])


def of_kind(kind: str) -> Model:
    return TinyEncoder() if kind == "encoder" else read_model({**SIZES, "model_type": kind})


def crossed(
    model: Model, choose: Callable[[int, PlacedBlock], PlacedBlock]
) -> tuple[dict[str, np.ndarray], list[dict[int, np.ndarray]]]:
    """What is shown of each linear layer, and the values that leave each block."""
    weights = RandomWeights(model).weights  # type: ignore[arg-type]
    crossing = Crossing(model, TOKENS, 1)
    shown: dict[str, np.ndarray] = {}
    left: list[dict[int, np.ndarray]] = []
    values: dict[int, np.ndarray] = {}
    for number, placed in enumerate(place_blocks(model)):
        leaving = crossing.cross(
            choose(number, placed), weights, values, lambda names, rows: shown.update(dict.fromkeys(names, rows))
        )
        values = {value: rows for value, rows in (values | leaving).items() if value in placed.alive}
        left.append(leaving)
    return shown, left


def in_numpy(number: int, placed: PlacedBlock) -> PlacedBlock:
    return replace(placed, not_native="as a test has it")


def every_other(number: int, placed: PlacedBlock) -> PlacedBlock:
    return in_numpy(number, placed) if number % 2 else placed


@pytest.mark.parametrize("kind", ["llama", "qwen3", "encoder"])
@pytest.mark.parametrize("choose", [in_numpy, every_other])
def test_both_ways_show_and_leave_the_same(kind: str, choose: Callable[[int, PlacedBlock], PlacedBlock]) -> None:
    model = of_kind(kind)
    shown, left = crossed(model, lambda number, placed: placed)
    other_shown, other_left = crossed(model, choose)
    assert shown.keys() == other_shown.keys()
    for name, rows in shown.items():
        np.testing.assert_allclose(rows, other_shown[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert [values.keys() for values in left] == [values.keys() for values in other_left]
    for values, other in zip(left, other_left, strict=True):
        for number, rows in values.items():
            np.testing.assert_allclose(rows, other[number], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "encoder"])
def test_blocks_follow_each_other_by_one_value(kind: str) -> None:
    model = of_kind(kind)
    placed = place_blocks(model)
    assert placed[0].inputs == placed[-1].leaving == ()
    for first, second in pairwise(placed):
        assert first.leaving == second.inputs
        assert first.alive == frozenset(first.leaving)
        assert len(first.leaving) == 1
    statements = tuple(statement for one in placed for statement in one.block.statements)
    assert statements == main_graph(model).statements
    assert all({name for names in one.taps.values() for name in names} == one.block.linears for one in placed)
