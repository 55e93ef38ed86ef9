"""Weights as they are stored hold no codes of their own. Rounding is in the tests of the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.activation import ActivationScales
from honed.encodings.dense import Dense
from honed.encodings.int8 import Int8, StoredInt8
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import scheme_of


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(width).standard_normal((rows, width)).astype(np.float32), "float32")


@pytest.mark.parametrize("group", [None, 32])
@pytest.mark.parametrize("width", [64, 70])
def test_a_stored_weight_is_what_it_was_stored_from(group: int | None, width: int) -> None:
    plain = encode_int8(source(9, width), name="w", group=group, activation=ActivationScales(group))
    filled = np.pad(plain.codes.view(np.uint8) ^ np.uint8(0x80), ((0, 0), (0, 6)))
    stored = StoredInt8(filled, width, scales=plain.scales, group=group, activation=plain.activation)
    assert isinstance(stored, Int8)
    assert (stored.shape, stored.nbytes, stored.kind) == (plain.shape, plain.nbytes, "int8")
    assert scheme_of(stored) == scheme_of(plain)
    assert stored.codes.dtype == np.int8
    assert stored.codes.flags.c_contiguous
    assert np.array_equal(stored.codes, plain.codes)
    assert stored.codes is not stored.codes
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(stored.decode(rows), plain.decode(rows))
