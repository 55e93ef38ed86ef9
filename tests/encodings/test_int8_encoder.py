"""int8 rounding: bounds, idempotence and hard values, against exact arithmetic in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.dense import Dense
from honed.encodings.int8 import Int8
from honed.encodings.int8_encoder import encode_int8
from honed.errors import ParameterError, UnsupportedError

BOUNDED = settings(deadline=None, max_examples=60, derandomize=True)


def dense(values: NDArray[np.float32]) -> Dense:
    return Dense(np.ascontiguousarray(values, np.float32), "float32")


def scales_per_value(encoded: Int8) -> NDArray[np.float64]:
    width = encoded.shape[1]
    if encoded.group is None:
        return np.repeat(encoded.scales.astype(np.float64)[:, None], width, axis=1)
    return np.repeat(encoded.scales.astype(np.float64), encoded.group, axis=1)[:, :width]


@st.composite
def matrices(draw: st.DrawFn, smallest: float, largest: float) -> NDArray[np.float32]:
    """Rows of very different magnitude; now and then a row of zeros or of one value."""
    rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 150))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.standard_normal((rows, width)).astype(np.float32)
    for row in range(rows):
        kind = draw(st.sampled_from(["normal", "normal", "zero", "constant", "spike"]))
        if kind == "zero":
            values[row] = 0
        elif kind == "constant":
            values[row] = 1
        elif kind == "spike":
            values[row, width // 2] = 100
        values[row] *= np.float32(10 ** draw(st.floats(smallest, largest)))
    return values


@BOUNDED
@given(values=matrices(-9, 4), group=st.sampled_from([None, 32, 64, 128]))
def test_every_value_is_within_half_a_scale(values: NDArray[np.float32], group: int | None) -> None:
    encoded = encode_int8(dense(values), name="w", group=group)
    error = np.abs(values.astype(np.float64) - encoded.codes * scales_per_value(encoded))
    assert (error <= scales_per_value(encoded) * (0.5 + 1e-6)).all()
    assert encoded.codes.min() >= -127
    assert np.array_equal(encoded.decode(), (encoded.codes * scales_per_value(encoded)).astype(np.float32))


@BOUNDED
@given(values=matrices(-3, 4), group=st.sampled_from([None, 32, 64, 128]))
def test_encoding_what_was_decoded_changes_nothing(values: NDArray[np.float32], group: int | None) -> None:
    once = encode_int8(dense(values), name="w", group=group)
    twice = encode_int8(dense(once.decode()), name="w", group=group)
    assert np.array_equal(once.codes, twice.codes)
    if group is not None:  # 127 times a float32 scale need not be a float32
        assert np.array_equal(once.scales, twice.scales)


def test_the_scale_is_rounded_before_the_codes() -> None:
    values = np.array([[1.0, -0.5, 0.123456]], np.float32)
    encoded = encode_int8(dense(values), name="w", group=32)
    scale = np.float32(np.float16(1 / 127))
    assert encoded.scales[0, 0] == np.float16(scale)
    assert encoded.codes.tolist() == [np.rint(values[0] / scale).astype(int).tolist()]


def test_a_zero_row_has_a_zero_scale_and_codes() -> None:
    encoded = encode_int8(dense(np.zeros((2, 40), np.float32)), name="w", group=32)
    assert not encoded.codes.any()
    assert not encoded.scales.any()


@pytest.mark.parametrize("size", [1e-45, 6e-8, 4e-6, 1e-5])
@pytest.mark.parametrize("group", [None, 32])
def test_values_below_the_smallest_scale_stay_within_half_of_it(size: float, group: int | None) -> None:
    values = np.array([[size, -size / 2, 0]], np.float32)
    encoded = encode_int8(dense(values), name="w", group=group)
    assert (np.abs(encoded.decode() - values) <= scales_per_value(encoded) * (0.5 + 1e-4)).all()


def test_what_no_scale_can_cover_is_refused_by_name() -> None:
    values = dense(np.array([[1e9, 1]], np.float32))
    with pytest.raises(UnsupportedError, match=r"layer\.weight: a group reaches 1e\+09"):
        encode_int8(values, name="layer.weight", group=32)
    assert encode_int8(values, name="layer.weight").codes.tolist() == [[127, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_not_finite_is_refused_by_name_and_place(bad: float, threads: int) -> None:
    values = np.ones((5000, 64), np.float32)
    values[4321, 17] = bad
    with pytest.raises(UnsupportedError, match=r"layer\.weight: value -?(nan|inf) at row 4321, column 17"):
        encode_int8(dense(values), name="layer.weight", group=32, threads=threads)


def test_threads_and_chunks_change_nothing() -> None:
    values = np.random.default_rng(1).standard_normal((3000, 96)).astype(np.float32)
    one, two = (encode_int8(dense(values), name="w", group=32, threads=n) for n in (1, 2))
    part = encode_int8(dense(values[1000:1100]), name="w", group=32)
    assert np.array_equal(one.codes, two.codes)
    assert np.array_equal(one.scales, two.scales)
    assert np.array_equal(one.codes[1000:1100], part.codes)


def test_a_vector_and_an_unknown_group_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="only a matrix"):
        encode_int8(dense(np.ones(4, np.float32)), name="norm")
    with pytest.raises(ParameterError, match="int8 group = 48"):
        encode_int8(dense(np.ones((1, 48), np.float32)), name="w", group=48)


def test_the_activation_setting_is_kept() -> None:
    encoded = encode_int8(dense(np.ones((1, 64), np.float32)), name="w", group=32, activation=ActivationScales(32))
    assert encoded.activation.group == 32
