"""Against all roundings of a matrix of two by two, and against rounding to nearest on its own objective."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from honed.compress.block_rows import BlockRows
from honed.compress.learned_rounding import Schedule, learn
from honed.encodings.codebook import TABLES
from honed.encodings.column_grid import Gridded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int8 import Int8
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Scheme
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import Activate, Add, FloatRows, Linear
from honed.ops.values import Value, Weight

SCHEDULE = Schedule(
    iterations=60, batch=2, step=1 / 60, step_of_range=1 / 60, seed=0, bfloat16=False, from_changed=True
)


def graph(*operations: Operation) -> Graph:
    values: list[Value] = []
    statements = []
    for number, operation in enumerate(operations):
        values.append(operation.infer([values[operand] for operand in operation.inputs]))
        statements.append(Statement(number, operation, values[-1]))
    return Graph(tuple(statements), {"y": len(operations) - 1})


def one_layer(rows: int, width: int) -> Graph:
    return graph(FloatRows((), "x", width), Linear((0,), Weight("w", (rows, width)), None))


def block(
    of: Graph, windows: int, length: int, width: int, *, noise: float = 0.0, fall: float = 0.75, seed: int = 1
) -> BlockRows:
    # Of full rank, with a spectrum that falls as in a trained model. Where it is flat, nearest codes are hard to beat.
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.standard_normal((width, width)))[0]
    x = random.standard_normal((windows * length, width)) * np.arange(1.0, width + 1) ** -fall @ turn
    x /= np.sqrt(np.square(x).mean())
    changed = x + noise * random.standard_normal(x.shape)
    tokens = np.zeros((windows, length), np.int64)
    return BlockRows(of, {"x": x.astype(np.float32)}, {"x": changed.astype(np.float32)}, tokens)


def error(rows: BlockRows, weight: NDArray[np.float32], rounded: NDArray[np.float32]) -> float:
    """Of one layer: what it gives of changed rows against what it gave."""
    return float(np.square(rows.changed["x"] @ rounded.T - rows.source["x"] @ weight.T).mean())


def nearest(values: NDArray[np.float32], scheme: Scheme) -> Gridded:
    found = encode(Dense(values, "float32"), scheme, name="w")
    assert isinstance(found, Gridded)
    return found


def test_of_two_by_two_the_best_rounding_is_found() -> None:
    found = np.array([of_two_by_two(seed) for seed in range(20)])
    reached, nearest = found.T
    assert (reached >= 1 - 1e-6).all()
    assert (reached <= nearest + 1e-6).all()
    # Two roundings may be nearly as good, and the signs of gradients step over the difference.
    assert (reached < 1.2).all()
    assert (reached < 1 + 1e-6).sum() >= 14
    assert (nearest > 1.2).sum() >= 6  # where errors that cancel are better


def of_two_by_two(seed: int) -> tuple[float, float]:
    """The errors of what is learned and of the nearest codes, over the least of all sixteen roundings."""
    random = np.random.default_rng(seed)
    weight = random.uniform(-3, 3, (2, 2)).astype(np.float32)
    # The inputs are nearly one, so that errors that cancel beat those that are each the smallest.
    x = random.standard_normal((32, 1)) + 0.2 * random.standard_normal((32, 2))
    rows = BlockRows(one_layer(2, 2), *({"x": x.astype(np.float32)},) * 2, np.zeros((4, 8), np.int64))
    start = Int8(np.rint(weight).astype(np.int8), np.ones(2, np.float32))
    schedule = replace(SCHEDULE, iterations=200, batch=4, step=1 / 100, step_of_range=1e-9)
    found = learn(rows, {"w": weight}, {"w": start}, schedule, 1)["w"]
    both_ways = [(np.floor(one), np.ceil(one)) for one in weight.ravel()]
    best = min(
        error(rows, weight, np.array(codes, np.float32).reshape(2, 2)) for codes in itertools.product(*both_ways)
    )
    reached, began = (error(rows, weight, one.codes.astype(np.float32)) for one in (found, start))
    return reached / best, began / best


@pytest.mark.parametrize(
    "scheme",
    [
        *(Int4Scheme(32, offset) for offset in ("symmetric", "zero_point", "minimum")),
        CodebookScheme(32, TABLES["normal_float"]),
    ],
    ids=str,
)
@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.0, 1), (0.02, 2), (0.02, 3)])
def test_much_better_than_nearest_by_its_own_measure(scheme: Scheme, noise: float, seed: int) -> None:
    weight = np.random.default_rng(50 + seed).standard_normal((16, 64)).astype(np.float32)
    rows = block(one_layer(16, 64), 6, 16, 64, noise=noise, seed=seed)
    start = nearest(weight, scheme)
    found = learn(rows, {"w": weight}, {"w": start}, SCHEDULE, 1)["w"]
    assert found.scheme == scheme
    assert error(rows, weight, found.decode()) < 0.85 * error(rows, weight, start.decode())


@pytest.mark.parametrize("step", [0.5, 1e-6])
@pytest.mark.parametrize("fall", [0.0, 0.75])
def test_never_worse_than_nearest_by_its_own_measure(step: float, fall: float) -> None:
    """With steps far too large, and with some that move nothing; of inputs that nothing is to be gained from, too."""
    weight = np.random.default_rng(5).standard_normal((8, 32)).astype(np.float32)
    rows = block(one_layer(8, 32), 4, 8, 32, fall=fall)
    start = nearest(weight, Int4Scheme(32, "symmetric"))
    schedule = replace(SCHEDULE, iterations=3, batch=1, step=step, step_of_range=step)
    found = learn(rows, {"w": weight}, {"w": start}, schedule, 1)["w"]
    assert error(rows, weight, found.decode()) <= error(rows, weight, start.decode()) * (1 + 1e-6)


def two_layers() -> Graph:
    return graph(
        FloatRows((), "x", 32),
        Linear((0,), Weight("up", (64, 32)), None),
        Activate((1,), "silu"),
        Linear((2,), Weight("down", (32, 64)), Weight("bias", (32,))),
        Add((0, 3)),
    )


def outputs(weights: dict[str, NDArray[np.float32]], x: NDArray[np.float32]) -> NDArray[np.float32]:
    hidden = x @ weights["up"].T
    return np.asarray(x + (hidden / (1 + np.exp(-hidden))) @ weights["down"].T + weights["bias"])


def learned_block(rows: BlockRows, **changes: Any) -> tuple[dict[str, NDArray[np.float32]], dict[str, Gridded]]:
    random = np.random.default_rng(7)
    shapes = {"up": (64, 32), "down": (32, 64), "bias": (32,)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    scheme = Int4Scheme(32, "zero_point")
    start = {name: nearest(weights[name], scheme) for name in ("up", "down")}
    return weights, learn(rows, weights, start, replace(SCHEDULE, **changes), 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_layers_of_a_block_are_learned_together_by_what_it_gives(seed: int) -> None:
    rows = block(two_layers(), 6, 16, 32, noise=0.02, seed=seed)
    weights, found = learned_block(rows)
    aim = outputs(weights, rows.source["x"])

    def measured(rounded: dict[str, Gridded]) -> float:
        given = {**weights, **{name: one.decode() for name, one in rounded.items()}}
        return float(np.square(outputs(given, rows.changed["x"]) - aim).mean())

    start = {name: nearest(weights[name], Int4Scheme(32, "zero_point")) for name in ("up", "down")}
    assert set(found) == {"up", "down"}
    assert measured(found) < 0.7 * measured(start)


def test_the_same_for_the_same_seed_and_another_for_another() -> None:
    rows = block(two_layers(), 6, 16, 32)
    one, again, other = (learned_block(rows, seed=seed)[1] for seed in (3, 3, 4))
    for name in one:
        np.testing.assert_array_equal(one[name].decode(), again[name].decode())
    assert any(not np.array_equal(one[name].decode(), other[name].decode()) for name in one)


def test_rows_of_the_model_as_it_was_may_enter() -> None:
    rows = block(two_layers(), 6, 16, 32, noise=0.5)
    alike = replace(rows, changed=rows.source)
    _, found = learned_block(rows, from_changed=False)
    _, expected = learned_block(alike)
    for name, one in found.items():
        np.testing.assert_array_equal(one.decode(), expected[name].decode())


def test_products_of_bfloat16_learn_too_and_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    rows = block(one_layer(16, 64), 6, 16, 64)
    weight = np.random.default_rng(5).standard_normal((16, 64)).astype(np.float32)
    start = nearest(weight, Int4Scheme(32, "zero_point"))
    found = learn(rows, {"w": weight}, {"w": start}, replace(SCHEDULE, bfloat16=True), before + 1)["w"]
    assert torch.get_num_threads() == before
    assert error(rows, weight, found.decode()) < 0.6 * error(rows, weight, start.decode())
