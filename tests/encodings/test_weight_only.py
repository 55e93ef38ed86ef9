"""Codes that are kept, and what they are kept in."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.dense import DenseScheme
from honed.encodings.encode import encode
from honed.encodings.groups import Group
from honed.encodings.int4 import Int4, Int4Scheme, Offset
from honed.encodings.int8 import Int8, Int8Scheme
from honed.encodings.weight_only import WeightOnly

RNG = np.random.default_rng(1)
CODES = RNG.integers(0, 16, (4, 160)).astype(np.uint8)


def int4(group: int, offset: Offset) -> Int4:
    groups = -(-160 // group)
    scales = RNG.uniform(0.01, 0.1, (4, groups)).astype(np.float16)
    if offset == "symmetric":
        return Int4(CODES, scales, None, group)
    if offset == "zero_point":
        return Int4(CODES, scales, RNG.integers(0, 16, (4, groups)).astype(np.uint8), group)
    return Int4(CODES, scales, RNG.normal(size=(4, groups)).astype(np.float16), group)


@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
@pytest.mark.parametrize(("group", "smaller"), [(32, 32), (128, 32), (128, 64)])
def test_groups_become_smaller_and_no_value_changes(group: int, smaller: Group, offset: Offset) -> None:
    weight = WeightOnly(int4(group, offset))
    scheme = Int4Scheme(smaller, offset, smaller)
    kept = encode(weight, scheme, name="w")
    assert kept.scheme == scheme
    np.testing.assert_array_equal(kept.decode(), weight.decode())
    assert weight.int4_offset == offset


def test_a_symmetric_grid_may_have_its_zero_point_written_out() -> None:
    weight = WeightOnly(int4(64, "symmetric"))
    kept = encode(weight, Int4Scheme(32, "zero_point", 32), name="w")
    np.testing.assert_array_equal(kept.decode(), weight.decode())


def test_what_a_scheme_cannot_hold_is_rounded_anew() -> None:
    weight = WeightOnly(int4(32, "zero_point"))
    for scheme in (Int4Scheme(64, "zero_point"), Int4Scheme(32, "symmetric"), Int8Scheme(32), DenseScheme("float32")):
        assert weight.kept(scheme) is None
    found = encode(weight, Int8Scheme(32, 32), name="w")
    assert np.abs(found.decode() - weight.decode()).max() < 0.02


def test_int8_is_kept_by_the_same_rule() -> None:
    codes = RNG.integers(-127, 128, (4, 160)).astype(np.int8)
    whole = WeightOnly(Int8(codes, np.full(4, 0.5, np.float32), None))
    grouped = WeightOnly(Int8(codes, RNG.uniform(0.01, 0.1, (4, 2)).astype(np.float16), 128))
    assert whole.kept(Int8Scheme(32, 32)) is None
    for weight, scheme in ((whole, Int8Scheme(None, 32)), (grouped, Int8Scheme(32, 32))):
        kept = encode(weight, scheme, name="w")
        assert kept.scheme == scheme
        np.testing.assert_array_equal(kept.decode(), weight.decode())
