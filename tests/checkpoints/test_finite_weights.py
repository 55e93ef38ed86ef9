"""NaN and Inf in every encoding, named by tensor and place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honed.checkpoints.finite_weights import CHUNK_VALUES, check_finite
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.errors import FormatError

BAD = (np.nan, np.inf, -np.inf)
PATH = Path("m.gguf")


def check(weight: Encoded) -> None:
    check_finite(PATH, "some.weight", weight)


@pytest.mark.parametrize("bad", BAD)
def test_dense(bad: float) -> None:
    values = np.full((40, 50), 3e38, dtype=np.float32)
    spoiled = values.copy()
    spoiled[7, 9] = bad
    with np.errstate(over="ignore"):
        halves = [array.astype(np.float16) for array in (values / 1e37, spoiled / 1e37)]
    brains = [float32_to_bfloat16(array * np.float32(0.5)) for array in (values, spoiled)]
    for good, wrong in (
        (Dense(values, "float32"), Dense(spoiled, "float32")),
        (Dense(halves[0], "float16"), Dense(halves[1], "float16")),
        (Dense(brains[0], "bfloat16"), Dense(brains[1], "bfloat16")),
    ):
        check(good)
        with pytest.raises(FormatError, match=r"m.gguf: some.weight: value 9 of row 7 is NaN or infinite"):
            check(wrong)


def test_vectors_and_empty_weights() -> None:
    with pytest.raises(FormatError, match="value 0 of row 2 is NaN"):
        check(Dense(np.array([1, 2, np.nan], np.float32), "float32"))
    check(Dense(np.zeros((0, 5), np.float32), "float32"))


def test_the_last_of_many_rows() -> None:
    values = np.zeros((3, CHUNK_VALUES), np.float16)
    values[2, -1] = np.inf
    with pytest.raises(FormatError, match=f"value {CHUNK_VALUES - 1} of row 2"):
        check(Dense(values, "float16"))


@pytest.mark.parametrize("block_format", FORMATS.values(), ids=lambda f: f.name)
@pytest.mark.parametrize("bad", BAD)
def test_blocks_agree_with_what_they_decode_to(bad: float, block_format: object) -> None:
    from honed.encodings.gguf_formats import BlockFormat

    assert isinstance(block_format, BlockFormat)
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, 12 * 512 // block_format.values * block_format.nbytes, dtype=np.uint8)
    records = data.view(block_format.layout)
    for field in block_format.scales:
        records[field] = 1  # a bfloat16 is its bits
    if block_format.name == "MXFP4":
        records["exponent"] = 127
    check(GgufBlocks(block_format, data, (12, 512)))
    for field in block_format.scales:
        spoiled = data.copy()
        values = spoiled.view(block_format.layout).reshape(12, -1)[field]
        values[5, 1] = 0x7F80 if block_format.name == "BF16" else bad
        weight = GgufBlocks(block_format, spoiled, (12, 512))
        assert not np.isfinite(weight.decode(slice(5, 6))).all()
        with pytest.raises(FormatError, match=f"scale {field} 1 of row 5"):
            check(weight)


def test_a_scale_that_lies_in_pieces() -> None:
    """Of IQ1_M, in the upper four bits of four words."""
    block_format = next(entry for entry in FORMATS.values() if entry.name == "IQ1_M")
    data = np.zeros(12 * 512 // block_format.values * block_format.nbytes, dtype=np.uint8)
    words = data.view(block_format.layout).reshape(12, -1)["scales"]
    words[:] = np.array([0x0FFF, 0x0FFF, 0xCFFF, 0x3FFF], np.uint16)
    weight = GgufBlocks(block_format, data, (12, 512))
    check(weight)
    words[5, 1, 2:] = 0xCFFF, 0x7FFF
    assert not np.isfinite(weight.decode(slice(5, 6))).all()
    with pytest.raises(FormatError, match="scale d 1 of row 5"):
        check(weight)


@pytest.mark.parametrize("bad", BAD)
def test_scales_of_integers(bad: float) -> None:
    channel = np.ones(4, np.float32)
    groups = np.ones((4, 2), np.float16)
    codes = np.zeros((4, 64), np.int8)
    for weight in (Int8(codes, channel), Int8(codes, groups, 32), Int4(codes.view(np.uint8), groups, None, 32)):
        check(weight)
    channel[3] = bad
    groups[2, 1] = bad
    for weight in (Int8(codes, channel), Int8(codes, groups, 32), Int4(codes.view(np.uint8), groups, None, 32)):
        with pytest.raises(FormatError, match=r"scale . of row . is NaN"):
            check(weight)


@pytest.mark.parametrize("exponent", [252, 253, 254, 255])
@pytest.mark.parametrize("code", [0, 1, 4, 7])
def test_a_power_that_no_float_is_counts_where_a_value_has_it(exponent: int, code: int) -> None:
    block_format = next(entry for entry in FORMATS.values() if entry.name == "MXFP4")
    data = np.zeros(2 * block_format.nbytes, np.uint8)
    records = data.view(block_format.layout)
    records["exponent"] = 127
    records["exponent"][1] = exponent
    records["codes"][1] = code
    weight = GgufBlocks(block_format, data, (2, 32))
    with np.errstate(over="ignore"):
        finite = np.isfinite(weight.decode()).all()
    if finite:
        check(weight)
    else:
        with pytest.raises(FormatError, match="scale d 0 of row 1"):
            check(weight)
    assert finite == (exponent == 252 or code in (0, 1) or (code, exponent) == (4, 253))
