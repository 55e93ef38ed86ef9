"""Weights as they are stored hold no codes of their own. Rounding is in the tests of the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset, StoredInt4
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.scheme import scheme_of


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(width).standard_normal((rows, width)).astype(np.float32), "float32")


@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
@pytest.mark.parametrize("width", [64, 71])
def test_a_stored_weight_is_what_it_was_stored_from(offset: Offset, width: int) -> None:
    plain = encode_int4(source(9, width), name="w", offset=offset)
    even = np.pad(plain.codes, ((0, 0), (0, width % 2)))
    pairs = even[:, 0::2] | (even[:, 1::2] << np.uint8(4))
    stored = StoredInt4(pairs, width, scales=plain.scales, offsets=plain.offsets, group=32, activation=plain.activation)
    assert isinstance(stored, Int4)
    assert (stored.shape, stored.nbytes, stored.kind) == (plain.shape, plain.nbytes, "int4")
    assert scheme_of(stored) == scheme_of(plain)
    assert stored.codes.flags.c_contiguous
    assert np.array_equal(stored.codes, plain.codes)
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(stored.decode(rows), plain.decode(rows))
