"""Against a case that is computed by hand, and against the definition: after each input, what is left is moved to where
the outputs change least, found anew by an inverse each time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.error_feedback import Encode, feedback, round_again, round_with_feedback
from honed.encodings.codebook import TABLES
from honed.encodings.column_grid import Gridded, column_grid
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int8 import Int8
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme, Scheme

Matrix = NDArray[np.float32]
EVERY = slice(None)


def integers(values: Matrix, _: slice = EVERY) -> Gridded:
    return Int8(np.rint(values).astype(np.int8), np.ones(len(values), np.float32))


def to(scheme: Scheme) -> Encode:
    def plainly(values: Matrix, _: slice = EVERY) -> Gridded:
        found = encode(Dense(values, "float32"), scheme, name="w")
        assert isinstance(found, Gridded)
        return found

    return plainly


def correlated(width: int, seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((3 * width, width)) @ random.standard_normal((width, width))
    rows *= np.exp(random.standard_normal(width))
    return np.asarray(rows.T @ rows / len(rows))


def change(weight: Matrix, rounded: Gridded, gram: NDArray[np.float64]) -> float:
    difference = weight - rounded.decode().astype(np.float64)
    return float(np.einsum("ri,ij,rj->", difference, gram, difference))


def by_definition(
    weight: Matrix, gram: NDArray[np.float64], like: Gridded, order: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Codes where the later inputs are set, after each one, to what is least under the inverse of their own part."""
    grid, moved = column_grid(like), weight.astype(np.float64)
    codes = np.empty(weight.shape, np.int64)
    for place, column in enumerate(order):
        codes[:, column], decoded = grid.round(int(column), moved[:, column])
        left = order[place:]
        inverse = np.linalg.inv(gram[np.ix_(left, left)])
        moved[:, left] -= np.outer((moved[:, column] - decoded) / inverse[0, 0], inverse[0])
    return codes


def test_an_error_is_made_up_for_by_the_next_input() -> None:
    weight, gram = np.array([[0.4, 0.4]], np.float32), np.array([[1.0, 0.5], [0.5, 1.0]])
    found = round_with_feedback(weight, feedback(gram, damping=1e-9, by_activation=False), integers, refit=False)
    # 0.4 becomes 0, so the second had best be 0.4 + 0.5 * 0.4 = 0.6.
    np.testing.assert_array_equal(found.codes, [[0, 1]])
    assert change(weight, found, gram) == pytest.approx(0.16 + 0.36 - 0.24)
    assert change(weight, integers(weight), gram) == pytest.approx(0.48)


PEER_CODES = {
    # llm-compressor 0.14 (`quantize_weight`, steps of one, damping 0.01), inputs as they lie and by activation.
    False: [
        [-4, -1, 2, -3, 0, 3, -2, 1],
        [1, -2, 2, -2, 3, -1, 3, 0],
        [-2, 4, 2, 0, -3, 3, 1, -1],
        [3, 2, 2, 1, 0, -1, -1, -2],
    ],
    True: [
        [-4, -1, 2, -3, 0, 3, -2, 1],
        [1, -2, 2, -2, 3, 0, 3, 0],
        [-2, 3, 1, 0, -2, 4, 1, -1],
        [2, 2, 1, 1, 0, -1, -1, -2],
    ],
}


@pytest.mark.parametrize("by_activation", [False, True])
def test_codes_are_those_of_another_implementation(by_activation: bool) -> None:
    row, column = np.mgrid[:4, :8]
    weight = ((37 * row + 23 * column + 11 * row * column) % 61 - 30) / 8 + (row + 1) / 64
    i, j = np.mgrid[:24, :8]
    x = ((i * i + 3 * i * j + 5 * j) % 11 - 5.0) + ((i + j) % 3 == 0) * ((i * 7) % 5)
    told = feedback(x.T @ x, damping=0.01, by_activation=by_activation)
    found = round_with_feedback(weight.astype(np.float32), told, integers, refit=False)
    np.testing.assert_array_equal(found.codes, PEER_CODES[by_activation])
    assert not np.array_equal(found.codes, np.rint(weight))


SCHEMES = [
    Int8Scheme(None),
    Int8Scheme(32),
    *(Int4Scheme(32, offset) for offset in ("symmetric", "zero_point", "minimum")),
]
SCHEMES_OF_TABLES = [CodebookScheme(64, TABLES["normal_float"]), CodebookScheme(32, TABLES["power_of_two"])]


@pytest.mark.parametrize("scheme", [*SCHEMES, *SCHEMES_OF_TABLES], ids=str)
@pytest.mark.parametrize("by_activation", [False, True])
def test_codes_are_those_of_the_definition(scheme: Scheme, by_activation: bool) -> None:
    width, rows = 192, 3
    weight = np.random.default_rng(5).standard_normal((rows, width)).astype(np.float32)
    gram = correlated(width, 6)
    damped = gram + 0.01 * gram.diagonal().mean() * np.eye(width)
    order = np.argsort(-gram.diagonal(), kind="stable") if by_activation else np.arange(width)
    found = round_with_feedback(
        weight, feedback(gram, damping=0.01, by_activation=by_activation), to(scheme), refit=False
    )
    plain = to(scheme)(weight, EVERY)
    np.testing.assert_array_equal(found.codes, by_definition(weight, damped, plain, order))
    np.testing.assert_array_equal(found.scales, plain.scales)
    assert change(weight, found, gram) < 0.8 * change(weight, plain, gram)


@pytest.mark.parametrize(
    "scheme", [Int4Scheme(64, "zero_point"), Int8Scheme(32), CodebookScheme(32, TABLES["linear"])], ids=str
)
def test_scales_of_a_group_fit_the_weights_as_moved(scheme: Scheme) -> None:
    width = 160 if scheme != Int4Scheme(64, "zero_point") else 192
    weight = np.random.default_rng(1).standard_normal((4, width)).astype(np.float32)
    gram = correlated(width, 2)
    seen: list[Matrix] = []
    places: list[slice] = []
    plainly = to(scheme)

    def noted(values: Matrix, inputs: slice) -> Gridded:
        places.append(inputs)
        seen.append(values)
        return plainly(values, inputs)

    found = round_with_feedback(weight, feedback(gram, damping=0.01, by_activation=False), noted, refit=True)
    group = found.group
    assert group is not None
    assert [part.shape[1] for part in seen] == [width, *[group] * (width // group)]
    assert places == [EVERY, *(slice(first, first + group) for first in range(0, width, group))]
    np.testing.assert_array_equal(seen[1], weight[:, :group])
    assert not np.array_equal(seen[2], weight[:, group : 2 * group])
    np.testing.assert_array_equal(found.scales, np.hstack([plainly(part, EVERY).scales for part in seen[1:]]))
    assert change(weight, found, gram) < 0.8 * change(weight, plainly(weight, EVERY), gram)


def test_an_input_that_is_always_zero_moves_nothing_and_is_rounded_by_itself() -> None:
    weight = np.random.default_rng(3).standard_normal((2, 64)).astype(np.float32)
    gram = correlated(64, 4)
    gram[10] = gram[:, 10] = 0
    scheme = to(Int4Scheme(32, "symmetric"))
    found = round_with_feedback(weight, feedback(gram, damping=0.01, by_activation=True), scheme, refit=False)
    np.testing.assert_array_equal(found.codes[:, 10], scheme(weight, EVERY).codes[:, 10])
    other = weight.copy()
    other[:, 10] *= 0.5  # within the range of its group still
    without = round_with_feedback(other, feedback(gram, damping=0.01, by_activation=True), integers, refit=False)
    whole = round_with_feedback(weight, feedback(gram, damping=0.01, by_activation=True), integers, refit=False)
    np.testing.assert_array_equal(np.delete(without.codes, 10, 1), np.delete(whole.codes, 10, 1))


def test_inputs_of_which_nothing_is_known_are_rounded_as_they_are() -> None:
    weight = np.random.default_rng(3).standard_normal((2, 64)).astype(np.float32)
    plainly = to(Int8Scheme(32))
    found = round_with_feedback(
        weight, feedback(np.zeros((64, 64)), damping=0.01, by_activation=True), plainly, refit=False
    )
    np.testing.assert_array_equal(found.codes, plainly(weight, EVERY).codes)


@pytest.mark.parametrize("scheme", [Int8Scheme(32), Int4Scheme(32, "zero_point"), SCHEMES_OF_TABLES[0]], ids=str)
@pytest.mark.parametrize("refit", [False, True])
def test_zeros_are_kept_and_the_others_make_up_for_what_would_move_into_them(scheme: Scheme, refit: bool) -> None:
    width = 192
    random = np.random.default_rng(8)
    weight = np.where(random.random((4, width)) < 0.5, 0, random.standard_normal((4, width))).astype(np.float32)
    gram, plainly = correlated(width, 9), to(scheme)
    found = feedback(gram, damping=0.01, by_activation=False)
    kept = round_with_feedback(weight, found, plainly, refit=refit, keep_zeros=True)
    moved = round_with_feedback(weight, found, plainly, refit=refit)
    assert (kept.decode()[weight == 0] == 0).all()
    assert (moved.decode()[weight == 0] != 0).any()
    assert change(weight, kept, gram) < change(weight, plainly(weight, EVERY), gram)


def test_each_input_is_rounded_again_with_the_others_as_they_are() -> None:
    weight, gram = np.array([[0.4, 0.4]], np.float32), np.array([[1.0, 0.9], [0.9, 1.0]])
    began = integers(np.array([[1.0, 1.0]], np.float32))
    # With the second at 1 the first had best be 0.4 - 0.9 * 0.6 = -0.14; then the second 0.4 + 0.9 * 0.4 = 0.76.
    found = round_again(weight, began, gram, damping=1e-9, sweeps=1)
    np.testing.assert_array_equal(found.codes, [[0, 1]])
    assert change(weight, found, gram) == pytest.approx(0.16 + 0.36 - 2 * 0.9 * 0.24)


@pytest.mark.parametrize("scheme", [*SCHEMES, *SCHEMES_OF_TABLES], ids=str)
def test_rounding_again_makes_it_better_until_no_input_would_change(scheme: Scheme) -> None:
    width, damping = 192, 0.01
    weight = np.random.default_rng(5).standard_normal((4, width)).astype(np.float32)
    gram = correlated(width, 6)
    damped = gram + damping * gram.diagonal().mean() * np.eye(width)
    one = round_with_feedback(weight, feedback(gram, damping=damping, by_activation=True), to(scheme), refit=False)
    errors = [change(weight, one, damped)]
    for sweeps in (1, 2, 60):
        found = round_again(weight, one, gram, damping=damping, sweeps=sweeps)
        errors.append(change(weight, found, damped))
        np.testing.assert_array_equal(found.scales, one.scales)
    assert errors[0] > errors[1] >= errors[2] >= errors[3]
    grid, decoded = column_grid(found), found.decode().astype(np.float64)
    slopes = (weight - decoded) @ damped
    for column in range(width):  # by definition, each alone
        codes, _ = grid.round(column, decoded[:, column] + slopes[:, column] / damped[column, column])
        np.testing.assert_array_equal(codes, found.codes[:, column])
