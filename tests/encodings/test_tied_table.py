"""A table that is the head at once: rows of the head, with the factors of smoothing taken out."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.dense import Dense
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import Int8Scheme, scheme_of
from honed.encodings.tied_table import TiedTable

RANDOM = np.random.default_rng(5)
TABLE = RANDOM.standard_normal((40, 64)).astype(np.float32)
FACTORS = np.exp2(RANDOM.integers(-6, 7, 64)).astype(np.float32)


def test_factors_are_undone_exactly() -> None:
    smoothed = Dense(TABLE / FACTORS, "float32")
    tied = TiedTable(smoothed, FACTORS)
    assert np.array_equal(tied.decode(), TABLE)
    assert np.array_equal(tied.decode(slice(3, 9)), TABLE[3:9])


def test_it_is_what_its_head_is_but_for_the_factors() -> None:
    head = encode_int8(Dense(TABLE / FACTORS, "float32"), name="head", group=32)
    tied = TiedTable(head, FACTORS)
    assert scheme_of(tied) == scheme_of(head) == Int8Scheme(32)
    assert (tied.shape, tied.kind) == (head.shape, "int8")
    assert tied.nbytes == head.nbytes + 4 * 64
    assert np.array_equal(tied.decode(), head.decode() * FACTORS)


@pytest.mark.parametrize("factors", [FACTORS[:63], FACTORS.astype(np.float64)], ids=["count", "type"])
def test_factors_that_do_not_belong_are_refused(factors: object) -> None:
    with pytest.raises(TypeError, match=r"factors of a tied table must be float32 \(64,\)"):
        TiedTable(Dense(TABLE, "float32"), factors)  # type: ignore[arg-type]
