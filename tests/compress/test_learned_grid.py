"""Values are what the encoded matrix decodes to, and each move is against the sign of a gradient that torch finds of
the same formula with rounding passed through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from honed.compress.learned_grid import LEAST, MOST, Learned, LearnedGrid
from honed.encodings.codebook import TABLES, Codebook
from honed.encodings.column_grid import Gridded
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme, Scheme

SCHEMES = [
    Int8Scheme(None),
    Int8Scheme(32),
    *(Int4Scheme(32, offset) for offset in ("symmetric", "zero_point", "minimum")),
    CodebookScheme(64, TABLES["normal_float"]),
    CodebookScheme(32, TABLES["power_of_two"]),
]


def weight(rows: int = 5, width: int = 128) -> NDArray[np.float32]:
    values = np.random.default_rng(3).standard_normal((rows, width)).astype(np.float32)
    values[1, :32] = 0  # a group without a scale
    return values


def rounded(values: NDArray[np.float32], scheme: Scheme) -> Gridded:
    found = encode(Dense(values, "float32"), scheme, name="w")
    assert isinstance(found, Gridded)
    return found


def moved(grid: LearnedGrid, seed: int) -> Learned:
    random = torch.Generator().manual_seed(seed)
    learned = grid.start()
    learned.rounding.add_(torch.rand(learned.rounding.shape, generator=random) - 0.5)
    learned.top.mul_(0.8 + 0.4 * torch.rand(learned.top.shape, generator=random))
    learned.bottom.mul_(0.8 + 0.4 * torch.rand(learned.bottom.shape, generator=random))
    return learned


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_it_starts_where_the_encoder_left_it(scheme: Scheme) -> None:
    values = weight()
    like = rounded(values, scheme)
    grid = LearnedGrid(values, like)
    again = grid.encoded(grid.start())
    np.testing.assert_array_equal(again.scales, like.scales)
    np.testing.assert_array_equal(again.decode(), like.decode())
    np.testing.assert_array_equal(grid.values(grid.start()).numpy(), like.decode())


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_values_are_what_the_encoded_matrix_decodes_to(scheme: Scheme) -> None:
    values = weight()
    grid = LearnedGrid(values, rounded(values, scheme))
    learned = moved(grid, 1)
    found = grid.encoded(learned)
    assert found.scheme == scheme
    np.testing.assert_array_equal(found.decode(), grid.values(learned).numpy())
    assert not np.array_equal(found.decode(), grid.encoded(grid.start()).decode())


def test_an_offset_of_half_a_step_takes_the_neighbour() -> None:
    values = np.array([[1.4, -0.3, 7.0, -8.0] + [0.0] * 28], np.float32)
    like = Int4(np.full((1, 32), 8, np.uint8), np.ones((1, 1), np.float16), None, 32)
    grid = LearnedGrid(values, like)
    learned = grid.start()
    learned.rounding[0, 0, :4] = torch.tensor([0.2, -0.3, 0.5, -0.5])
    # 1.6 goes up, -0.6 goes down, and beyond the ends there is nothing.
    np.testing.assert_array_equal(grid.encoded(learned).decode()[0, :4], [2, -1, 7, -8])


def test_steps_of_a_codebook_are_those_of_the_place() -> None:
    table = TABLES["power_of_two"]
    values = np.array([[20.0, 100.0, -3.1, 0.4] + [0.0] * 28], np.float32)
    grid = LearnedGrid(values, Codebook(np.zeros((1, 32), np.uint8), np.ones((1, 1), np.float16), table, 32))
    np.testing.assert_array_equal(grid.encoded(grid.start()).decode()[0, :4], [16, 64, -4, 0])
    learned = grid.start()
    # 20 is a quarter of the way from 16 to 32, -3.1 lies 0.45 above -4 in the step to -2, 0.4 so far from 0 to 1.
    learned.rounding[0, 0, :4] = torch.tensor([0.26, 0.5, 0.06, 0.11])
    np.testing.assert_array_equal(grid.encoded(learned).decode()[0, :4], [32, 64, -2, 1])


def passed(exact: Tensor, found: Tensor) -> Tensor:
    """The value of `found` with the gradient of `exact`."""
    return exact + (found - exact).detach()


def by_autograd(values: NDArray[np.float32], like: Int4, learned: Learned, slope: Tensor) -> list[Tensor]:
    """Gradients of rounding, top and bottom, of the formula of the paper."""
    rows, width = values.shape
    shape = (rows, width // like.group, like.group)
    w = torch.from_numpy(values).reshape(shape)
    scales = torch.from_numpy(like.scales.astype(np.float32))[..., None]
    v, a, b = (each.clone().requires_grad_() for each in (learned.rounding, learned.top, learned.bottom))
    minimums: Tensor | float = 0.0
    if like.offsets is None:
        s, zeros = scales * a, torch.tensor(8.0)
    else:
        offsets = torch.from_numpy(like.offsets.astype(np.float32))[..., None]
        low = offsets if like.offset == "minimum" else -offsets * scales
        high = low + 15 * scales
        s = (high * a - low * b) / 15
        zeros = -low * b / s
        zeros = passed(zeros, zeros.round().clamp(0, 15))
        if like.offset == "minimum":
            minimums, zeros = low * b, torch.tensor(0.0)
            minimums = passed(minimums, minimums.half().float())
    s = passed(s, s.half().float())
    aimed = (w - minimums) / s + v
    whole = passed(aimed + zeros, (aimed + zeros).round()).clamp(0, 15)
    given = (s * (whole - zeros) + minimums).reshape(rows, width)
    return list(torch.autograd.grad((given * slope).sum(), [v, a, b], allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
def test_moves_are_against_the_gradients_of_the_formula(offset: str) -> None:
    values = np.random.default_rng(8).standard_normal((7, 64)).astype(np.float32)
    like = rounded(values, Int4Scheme(32, offset))  # type: ignore[arg-type]
    assert isinstance(like, Int4)
    grid = LearnedGrid(values, like)
    learned = moved(grid, 4)
    slope = torch.from_numpy(np.random.default_rng(9).standard_normal(values.shape).astype(np.float32))
    expected = by_autograd(values, like, learned, slope)
    before = learned.clone()
    learned.rounding.mul_(0.5)  # away from where it is held
    before.rounding.mul_(0.5)
    expected = by_autograd(values, like, before, slope)
    grid.descend(learned, slope, 2.0**-9, 2.0**-9)
    assert all(float(one.abs().max()) > 0 for one in expected[: 2 if offset == "symmetric" else 3])
    for now, then, gradient in zip(
        (learned.rounding, learned.top, learned.bottom),
        (before.rounding, before.top, before.bottom),
        expected,
        strict=True,
    ):
        torch.testing.assert_close(now - then, -torch.sign(gradient) * 2.0**-9, atol=2.0**-20, rtol=0)


PEER_STEPS = {
    # auto-round 0.16.1 (`WrapperLinear`, `SignSGD`, torch 2.13): four steps of sixteenths that fall to zero; offsets in
    # parts of 256, factors to the top, factors to the bottom.
    "zero_point": (
        "12 -2 2 -2 2 -16 26 -2 2 -26 2 -2 -2 2 2 2 -2 -18 12 2 -26 2 -2 30 2 -2 2 -2 26 -2 2 -26 "
        "2 2 -2 30 30 -30 30 2 -2 0 -2 2 28 -2 30 30 -58 2 2 -2 30 -2 2 0 -2 30 30 -58 4 2 -2 0",
        (0.8828125, 0.9921875),
        (0.8828125, 0.9921875),
    ),
    "symmetric": (
        "-12 2 -2 2 -2 16 -26 2 -2 26 -2 2 2 -2 -2 -2 2 18 -12 -2 26 -2 2 -30 -2 2 -2 2 -26 2 -2 26 "
        "-2 -2 2 -30 -30 30 -30 -2 2 0 2 -2 -28 2 -30 -30 58 -2 -2 2 -30 2 -2 0 2 -30 -30 58 -4 -2 2 0",
        (0.8828125, 0.9921875),
        (1.0, 1.0),
    ),
}


@pytest.mark.parametrize("offset", list(PEER_STEPS))
def test_steps_are_those_of_another_implementation(offset: str) -> None:
    row, column = np.mgrid[:2, :32]
    steps = ((37 * row + 23 * column + 11 * row * column) % 59) / 4 - 6.9 + row / 9
    steps[:, 5], steps[:, 17] = -7, 8  # so that both find a scale of 1 / 64
    values = (steps / 64).astype(np.float32)
    i, j = np.mgrid[:24, :32]
    x = ((i * i + 3 * i * j + 5 * j) % 11 - 5.0) + ((i + j) % 3 == 0) * ((i * 7) % 5)
    like = encode(Dense(values, "float32"), Int4Scheme(32, offset), name="w", search=False)  # type: ignore[arg-type]
    assert isinstance(like, Int4)
    assert float(np.abs(like.scales).max()) == 1 / 64
    grid = LearnedGrid(values, like)
    learned = grid.start()
    gram = torch.from_numpy((x.T @ x).astype(np.float32))
    for number in range(4):
        slope = (grid.values(learned) - torch.from_numpy(values)) @ gram
        step = (1 - number / 16) / 16
        grid.descend(learned, slope, step, step)
    rounding, tops, bottoms = PEER_STEPS[offset]
    expected = np.array(rounding.split(), np.int64).reshape(2, 32)
    np.testing.assert_array_equal(np.rint(learned.rounding.numpy()[:, 0] * 256), expected)
    np.testing.assert_array_equal(learned.top.numpy().ravel(), tops)
    np.testing.assert_array_equal(learned.bottom.numpy().ravel(), bottoms)


def test_the_gradient_of_a_looked_up_scale_is_what_the_scale_does() -> None:
    """Of weights that are values of the table times a scale: only clipped ones move it, the others lie on it."""
    table = TABLES["normal_float"]
    values = np.array([[254.0, *([0.0] * 31)]], np.float32)
    grid = LearnedGrid(values, Codebook(np.zeros((1, 32), np.uint8), np.ones((1, 1), np.float16), table, 32))
    learned = grid.start()
    grid.descend(learned, torch.tensor([[-1.0, *([0.0] * 31)]]), 0.25, 0.25)
    assert float(learned.top) == 1.25  # the clipped value is to grow, and its offset moves nothing
    assert float(learned.rounding.abs().max()) == 0
    grid.descend(learned, torch.tensor([[0.0, 1.0, *([0.0] * 30)]]), 0.25, 0.25)
    assert float(learned.rounding[0, 0, 1]) == -0.25
    assert float(learned.top) == 1.25


def test_what_is_learned_stays_within_its_bounds() -> None:
    values = weight()
    grid = LearnedGrid(values, rounded(values, Int4Scheme(32, "zero_point")))
    learned = grid.start()
    slope = torch.from_numpy(np.random.default_rng(9).standard_normal(values.shape).astype(np.float32))
    for _ in range(5):
        grid.descend(learned, slope, 0.4, 0.4)
    assert float(learned.rounding.abs().max()) == 0.5
    for factors in (learned.top, learned.bottom):
        assert float(factors.min()) >= LEAST
        assert float(factors.max()) <= MOST
    found = grid.encoded(learned)
    assert np.isfinite(found.decode()).all()


def test_groups_must_be_whole() -> None:
    like = Int8(np.zeros((1, 40), np.int8), np.ones((1, 2), np.float16), 32)
    with pytest.raises(ValueError, match="whole groups of 32"):
        LearnedGrid(np.zeros((1, 40), np.float32), like)
