"""Without its zeros a weight is the same weight, as small as it says; with too few zeros it is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.encodings.activation import ActivationScales
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int8 import Int8
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.sparse import Sparse, SparseScheme, leave_out
from honed.errors import FormatError, UnsupportedError


def pruned(rows: int, width: int, share: float, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, width)).astype(np.float32)
    for row in values:
        row[random.permutation(width)[: round(share * width)]] = 0
    return values


def int8(values: NDArray[np.float32], group: int = 32) -> Int8:
    return encode_int8(Dense(values, "float32"), name="w", group=group, activation=ActivationScales(group))


def test_by_hand() -> None:
    codes = np.array([[0, 5, 0, -7, 0, 0, 0, 0, 0, 3], [1, 0, 0, 0, 0, 0, 0, -127, 0, 0]], np.int8)
    weight = leave_out(Int8(codes, np.ones((2, 1), np.float16), 32), 0.7, name="w")
    assert weight.bits.tolist() == [[0b00001010, 0b10], [0b10000001, 0]]
    assert weight.stored.tolist() == [5, -7, 3, 1, -127, 0]  # room for three of ten
    assert weight.nbytes == 2 * 2 + 6 + 2 * 2 == sum(part.nbytes for part in weight.parts().values())
    np.testing.assert_array_equal(weight.codes, codes)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 140), st.sampled_from([0.1, 0.25, 0.5, 2 / 3, 0.9]), st.integers(0, 99))
def test_it_is_the_same_weight(rows: int, width: int, share: float, seed: int) -> None:
    dense = int8(pruned(rows, width, share, seed))
    found = leave_out(dense, share * 0.8, name="w")
    np.testing.assert_array_equal(found.decode(), dense.decode())
    first, stop = sorted((seed % (rows + 1), rows // 2))
    np.testing.assert_array_equal(found.decode(slice(first, stop)), dense.decode(slice(first, stop)))
    np.testing.assert_array_equal(found.integers().codes, dense.integers().codes)
    chosen = np.arange(rows)[::-1].astype(np.intp)
    np.testing.assert_array_equal(found.rows_at(chosen).codes, dense.codes[::-1])
    assert found.nbytes == sum(part.nbytes for part in found.parts().values())


def test_bits_a_weight() -> None:
    scheme = SparseScheme(0.5, 32)
    assert scheme.nbytes((576, 1536)) * 8 / (576 * 1536) == 1 + 4 + 0.5
    # A share of a third of each run of six is two of them, whatever the rounding of the quotient.
    assert SparseScheme(1 - 4 / 6, 32).stored((10, 96)) == 10 * 64


def test_rows_need_not_have_the_same_number() -> None:
    values = pruned(8, 64, 0.5)
    values[0] = 0
    values[1] = 1
    dense = int8(values)
    np.testing.assert_array_equal(leave_out(dense, 0.5, name="w").decode(), dense.decode())


def test_what_has_too_few_zeros_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"w: 0\.50\d\d of it is zero, and weights\.sparse leaves out 0\.6"):
        encode(Dense(pruned(8, 64, 0.5), "float32"), SparseScheme(0.6, 32), name="w")
    dense = encode_int8(Dense(pruned(8, 64, 0.5), "float32"), name="w")
    with pytest.raises(UnsupportedError, match="only int8 in groups"):
        leave_out(dense, 0.5, name="w")


def test_bits_without_codes_are_found() -> None:
    good = leave_out(int8(pruned(8, 64, 0.5)), 0.5, name="w")
    bits = good.bits.copy()
    bits[3] = 255
    bad = Sparse(bits, good.stored, good.scales, 64, 32, 0.5)
    with pytest.raises(FormatError, match=r"2\d\d bits are set, and 256 codes are stored"):
        bad.decode()
    with pytest.raises(TypeError, match="_values must be I8"):
        Sparse(good.bits, good.stored[:-1], good.scales, 64, 32, 0.5)
