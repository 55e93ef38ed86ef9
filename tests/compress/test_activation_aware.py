"""Factors and limits in cases small enough to follow by hand, and that they never make outputs worse."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.activation_aware import (
    Consumer,
    Floats,
    Wide,
    best_factors,
    best_limits,
    clipped,
    output_error,
)
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.scheme import Int4Scheme

SCHEME = Int4Scheme(32, "zero_point")


def same(values: Wide) -> Wide:
    return values


def thirds(values: Floats) -> Floats:
    """Each row to the largest magnitude of it, minus that, and zero."""
    step = np.abs(values).max(axis=1, keepdims=True)
    return np.asarray(np.rint(values / step) * step, np.float32)


def int4(values: Floats) -> Floats:
    return encode(Dense(np.ascontiguousarray(values), "float32"), SCHEME, name="w", search=False).decode()


def consumer(*rows: list[float]) -> Consumer:
    weight = np.array(rows, np.float32)
    return Consumer(weight, thirds, weight.shape[1])


def random_case(seed: int) -> tuple[Floats, Floats]:
    """Inputs of which some are far larger than others, and a matrix."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((200, 64)) * np.exp(1.5 * random.standard_normal(64))
    weight = random.standard_normal((24, 64)) * np.exp(0.5 * random.standard_normal((24, 64)))
    return inputs.astype(np.float32), weight.astype(np.float32)


def gram_of(inputs: Floats) -> Wide:
    wide = inputs.astype(np.float64)
    return np.asarray(wide.T @ wide / len(wide))


def test_the_error_is_that_of_the_outputs() -> None:
    inputs, weight = random_case(0)
    difference = int4(weight) - weight
    outputs = inputs.astype(np.float64) @ difference.T.astype(np.float64)
    expected = float(np.square(outputs).sum(axis=1).mean())
    assert output_error(difference, gram_of(inputs).astype(np.float32)) == pytest.approx(expected, rel=1e-4)


def test_factors_by_hand() -> None:
    # Of the row 0.4, 1.0 the first becomes 0, which costs 0.16 times the 100 that it counts. Multiplied by 10^0.4 =
    # 2.512 it is 1.005, so that both become that: no other exponent comes as near.
    found = best_factors([consumer([0.4, 1.0])], np.diag([100.0, 1.0]), both=False, at_producer=same, at_consumers=same)
    assert found[0] / found[1] == pytest.approx(10**0.4, rel=1e-5)
    assert found[0] * found[1] == pytest.approx(1, rel=1e-5)


def test_factors_by_inputs_and_weights_by_hand() -> None:
    # Both inputs count the same, and so leave factors at 1. Of the shares of the largest, 0.4 and 1, the exponent 0
    # makes 1 / 0.4 and 1: then nothing is lost.
    equal = np.diag([1.0, 1.0])
    by_inputs, by_both = (
        best_factors([consumer([0.4, 1.0])], equal, both=both, at_producer=same, at_consumers=same)
        for both in (False, True)
    )
    np.testing.assert_array_equal(by_inputs, [1, 1])
    assert by_both[0] / by_both[1] == pytest.approx(2.5, rel=1e-5)


def test_inputs_that_share_a_factor_are_judged_together() -> None:
    def at_producer(means: Wide) -> Wide:
        return np.asarray(means.reshape(2, 2).mean(axis=0))

    def at_consumers(factors: Wide) -> Wide:
        return np.tile(factors, 2)

    rows = consumer([0.4, 1.0, 0.4, 1.0])
    found = best_factors(
        [rows], np.diag([150.0, 1.0, 50.0, 1.0]), both=False, at_producer=at_producer, at_consumers=at_consumers
    )
    assert found.shape == (2,)
    assert found[0] / found[1] == pytest.approx(10**0.4, rel=1e-5)


def test_features_that_are_always_zero_get_ones() -> None:
    found = best_factors(
        [consumer([0.4, 1.0, 3.0])], np.diag([100.0, 1.0, 0.0]), both=True, at_producer=same, at_consumers=same
    )
    assert found[2] == 1
    assert np.isfinite(found).all()
    none = best_factors([consumer([0.4, 1.0])], np.zeros((2, 2)), both=True, at_producer=same, at_consumers=same)
    np.testing.assert_array_equal(none, [1, 1])


def by_outputs(inputs: Floats, weight: Floats) -> Floats:
    """The search as in the paper's equations 4 and 5, over the outputs themselves."""
    size = np.sqrt(np.square(inputs.astype(np.float64)).mean(axis=0))
    best, least = np.ones(64), np.inf
    for exponent in np.arange(21) / 20:
        factors = size**exponent
        factors /= np.exp(np.log(factors).mean())
        left = int4((weight * factors).astype(np.float32)) / factors
        error = np.square(inputs @ left.T - inputs @ weight.T).sum()
        if error < least:
            best, least = factors, error
    return best.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_the_search_finds_what_trying_on_the_inputs_does(seed: int) -> None:
    inputs, weight = random_case(seed)
    rows = Consumer(weight, int4, 32)
    found = best_factors([rows], gram_of(inputs), both=False, at_producer=same, at_consumers=same)
    np.testing.assert_allclose(found, by_outputs(inputs, weight), rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("both", [False, True])
def test_outputs_never_change_more_than_by_plain_rounding(seed: int, both: bool) -> None:
    inputs, weight = random_case(seed)
    gram = gram_of(inputs)
    rows = Consumer(weight, int4, 32)
    factors = best_factors([rows], gram, both=both, at_producer=same, at_consumers=same)
    wide = factors.astype(np.float64)
    limits = best_limits(Consumer(weight * factors, int4, 32), gram / np.outer(wide, wide))

    def error(left: NDArray[np.floating]) -> float:
        return float(np.square(inputs.astype(np.float64) @ (left - weight).T).sum())

    scaled = weight * factors
    fitted = scaled if limits is None else clipped(scaled, limits)
    plain, moved, both_done = error(int4(weight)), error(int4(scaled) / factors), error(int4(fitted) / factors)
    assert moved <= plain * (1 + 1e-5)
    assert both_done <= moved * (1 + 1e-5)
    assert both_done < 0.9 * plain


def test_limits_by_hand() -> None:
    # Thirds of 1, 0.35, 0.35, 0.35 lose 3 * 0.35^2 = 0.3675. With 0.5 as the largest all four become that, and lose
    # 0.25 + 3 * 0.0225 = 0.3175, less than with any of the limits between.
    rows = consumer([1.0, 0.35, -0.35, 0.35])
    limits = best_limits(rows, np.eye(4))
    assert limits is not None
    np.testing.assert_allclose(limits, [[0.5]], rtol=1e-6)
    np.testing.assert_allclose(clipped(rows.weight, limits), [[0.5, 0.35, -0.35, 0.35]], rtol=1e-6)
    # Where the first input counts a hundred times as much it keeps its weight.
    assert best_limits(rows, np.diag([100.0, 1.0, 1.0, 1.0])) is None


def test_each_group_has_its_own_limit() -> None:
    rows = Consumer(np.array([[1.0, 0.35, 0.35, 0.35, 1.0, 1.0, 0.0, 0.0]], np.float32), partial(_by_groups, 4), 4)
    limits = best_limits(rows, np.eye(8))
    assert limits is not None
    np.testing.assert_allclose(limits, [[0.5, 1.0]], rtol=1e-6)


def _by_groups(group: int, values: Floats) -> Floats:
    return thirds(values.reshape(-1, group)).reshape(values.shape)


def test_limits_that_are_worse_together_are_not_taken() -> None:
    # Both groups alone are better off clipped, by less than their errors, of one sign then, add up to.
    rows = Consumer(np.array([[1.0, 0.35, 0.35, 0.35] * 2], np.float32), partial(_by_groups, 4), 4)
    alone = np.eye(8)
    assert best_limits(rows, alone) is not None
    first = np.array([1.0, 0, 0, 0] * 2)
    assert best_limits(rows, alone + 0.9 * (np.outer(first, first) - np.diag(first))) is None
