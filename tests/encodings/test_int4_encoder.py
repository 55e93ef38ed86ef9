"""int4 rounding: bounds without the search, and that the search only ever lowers the error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int4_encoder import encode_int4
from honed.errors import ParameterError, UnsupportedError

BOUNDED = settings(deadline=None, max_examples=60, derandomize=True)
GROUP = st.sampled_from([32, 64, 128])
OFFSETS: tuple[Offset, ...] = ("symmetric", "zero_point", "minimum")


def encode(
    values: NDArray[np.float32],
    *,
    group: int = 32,
    offset: Offset = "zero_point",
    search: bool = True,
    threads: int = 1,
) -> Int4:
    weight = Dense(np.ascontiguousarray(values, np.float32), "float32")
    return encode_int4(weight, name="w", group=group, offset=offset, search=search, threads=threads)


def per_value(of_groups: NDArray[np.generic], encoded: Int4) -> NDArray[np.float64]:
    return np.repeat(of_groups.astype(np.float64), encoded.group, axis=1)[:, : encoded.shape[1]]


def group_errors(values: NDArray[np.float32], encoded: Int4) -> NDArray[np.float64]:
    squared = (encoded.decode().astype(np.float64) - values) ** 2
    filled = np.pad(squared, ((0, 0), (0, -squared.shape[1] % encoded.group)))
    summed: NDArray[np.float64] = filled.reshape(len(values), -1, encoded.group).sum(axis=2)
    return summed


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float32]:
    rows, width = draw(st.integers(1, 5)), draw(st.integers(1, 150))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.standard_normal((rows, width)) + draw(st.floats(-3, 3))
    kind = draw(st.sampled_from(["normal", "positive", "negative", "constant", "zero"]))
    if kind == "positive":
        values = np.abs(values)
    elif kind == "negative":
        values = -np.abs(values)
    elif kind == "constant":
        values[:] = draw(st.floats(-2, 2))
    elif kind == "zero":
        values[0] = 0
    return (values * 10 ** draw(st.floats(-6, 3))).astype(np.float32)


@BOUNDED
@given(values=matrices(), group=GROUP)
def test_with_a_zero_point_every_value_is_within_half_a_scale(values: NDArray[np.float32], group: int) -> None:
    encoded = encode(values, group=group, search=False)
    assert encoded.offsets is not None
    assert encoded.codes.max() <= 15
    assert encoded.offsets.max() <= 15
    scale = per_value(encoded.scales, encoded)
    assert (np.abs(encoded.decode() - values) <= scale * (0.5 + 1e-5)).all()


@BOUNDED
@given(values=matrices(), group=GROUP)
def test_symmetric_values_inside_the_range_are_within_half_a_scale(values: NDArray[np.float32], group: int) -> None:
    encoded = encode(values, group=group, offset="symmetric", search=False)
    assert encoded.offsets is None
    scale = per_value(encoded.scales, encoded)
    steps = np.divide(values, scale, out=np.zeros(values.shape), where=scale != 0)
    inside = steps <= 7.5
    error = np.abs(encoded.decode() - values)
    assert (error[inside] <= np.abs(scale[inside]) * (0.5 + 1e-5)).all()
    # Only the side away from the largest magnitude can be cut off, and by no more than one step.
    assert (error <= np.abs(scale) * (1 + 1e-3)).all()


@BOUNDED
@given(values=matrices(), group=GROUP, offset=st.sampled_from(OFFSETS))
def test_the_search_never_raises_the_error_of_a_group(values: NDArray[np.float32], group: int, offset: Offset) -> None:
    plain = encode(values, group=group, offset=offset, search=False)
    searched = encode(values, group=group, offset=offset)
    before, after = group_errors(values, plain), group_errors(values, searched)
    assert (after <= before * (1 + 1e-4) + 1e-30).all()


@BOUNDED
@given(values=matrices(), group=GROUP)
def test_encoding_what_was_decoded_changes_nothing(values: NDArray[np.float32], group: int) -> None:
    values = (values / max(1e-30, float(np.abs(values).max()))).astype(np.float32)  # away from tiny float16 scales
    once = encode(values, group=group, offset="symmetric", search=False)
    twice = encode(once.decode(), group=group, offset="symmetric", search=False)
    assert np.array_equal(once.decode(), twice.decode())


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("degrees", [4, 1000])
def test_the_search_gains_under_light_and_heavy_tails(offset: Offset, degrees: int) -> None:
    values = np.random.default_rng(0).standard_t(degrees, (256, 512)).astype(np.float32)
    plain = group_errors(values, encode(values, offset=offset, search=False)).sum()
    assert group_errors(values, encode(values, offset=offset)).sum() < 0.94 * plain


def test_values_on_a_lattice_of_sixteen_steps_are_kept_exactly() -> None:
    codes = np.tile(np.arange(16), 4)[None, :].astype(np.float32)
    values = (codes - 5) * np.float32(0.25)
    for search in (False, True):
        assert np.array_equal(encode(values, search=search).decode(), values)
    assert np.array_equal(encode((codes - 8) * np.float32(0.5), offset="symmetric").decode(), (codes - 8) * 0.5)


def test_a_zero_group_decodes_to_zero() -> None:
    for offset in OFFSETS:
        assert not encode(np.zeros((3, 70), np.float32), offset=offset).decode().any()


def test_threads_and_chunks_change_nothing() -> None:
    values = np.random.default_rng(2).standard_normal((3000, 96)).astype(np.float32)
    one, two, part = encode(values), encode(values, threads=2), encode(values[900:950])
    assert one.offsets is not None
    assert two.offsets is not None
    for a, b in ((one.codes, two.codes), (one.scales, two.scales), (one.offsets, two.offsets)):
        assert np.array_equal(a, b)
    assert np.array_equal(one.codes[900:950], part.codes)


def test_bad_values_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="w: value nan at row 1, column 2"):
        encode(np.array([[0, 0, 0], [0, 0, np.nan]], np.float32))
    for offset in OFFSETS:
        with pytest.raises(UnsupportedError, match=r"w: a (group reaches|value of magnitude)"):
            encode(np.array([[3e38, -3e38]], np.float32), offset=offset)
    with pytest.raises(ParameterError, match="int4 group = 16"):
        encode(np.ones((1, 16), np.float32), group=16)
