"""Codes kept as GGUF blocks, decoded by the gguf package: the same weight to the bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.codebook import GGML_VALUES, TABLES, Codebook
from honed.encodings.dense import Dense
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_kept import keep, kept_format
from honed.encodings.gguf_rounding import BY_NAME, round_rows
from honed.encodings.int4 import Int4
from honed.encodings.int8 import Int8
from honed.encodings.mxfp4 import Mxfp4

ROWS, WIDTH = 6, 192
GENERATOR = np.random.default_rng(5)


def scales(group: int) -> NDArray[np.float16]:
    return GENERATOR.uniform(1e-3, 1e-1, (ROWS, -(-WIDTH // group))).astype(np.float16)


def four_bits() -> NDArray[np.uint8]:
    return GENERATOR.integers(0, 16, (ROWS, WIDTH), np.uint8)


def int8(group: int | None) -> Int8:
    codes = GENERATOR.integers(-127, 128, (ROWS, WIDTH)).astype(np.int8)
    found = GENERATOR.uniform(1e-3, 1e-1, ROWS).astype(np.float32) if group is None else scales(group)
    return Int8(codes, found, group)


def zero_points() -> Int4:
    return Int4(four_bits(), scales(32), GENERATOR.integers(0, 16, (ROWS, WIDTH // 32), np.uint8), 32)


EXACT: dict[str, tuple[Encoded, str]] = {
    "int8": (int8(32), "Q8_0"),
    "int8 of larger groups": (int8(64), "Q8_0"),
    "int8 whose last group is short": (int8(128), "Q8_0"),
    "int4": (Int4(four_bits(), scales(32), None, 32), "Q4_0"),
    "int4 of larger groups": (Int4(four_bits(), scales(128), None, 128), "Q4_0"),
    "int4 with minimums": (Int4(four_bits(), scales(32), -scales(32), 32), "Q4_1"),
    "codebook of ggml": (Codebook(four_bits(), scales(32), GGML_VALUES, 32), "IQ4_NL"),
    "codebook of steps": (Codebook(four_bits(), scales(64), TABLES["linear"], 64), "Q4_0"),
    "mxfp4": (
        Mxfp4(
            GENERATOR.integers(0, 256, (ROWS, WIDTH // 32, 16), np.uint8),
            GENERATOR.integers(110, 130, (ROWS, WIDTH // 32), np.uint8),
        ),
        "MXFP4",
    ),
    "another codebook": (Codebook(four_bits(), scales(32), TABLES["power_of_two"], 32), "Q8_0"),
}


def read(rows: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    found: NDArray[np.float32] = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[name])
    return found


@pytest.mark.parametrize("which", EXACT)
def test_another_reader_decodes_the_same_values(which: str) -> None:
    weight, name = EXACT[which]
    kept = keep(weight)
    assert (kept.format.name, kept.error) == (name, 0.0)
    np.testing.assert_array_equal(read(kept.rows, name), weight.decode())


@pytest.mark.parametrize(("weight", "name"), [(zero_points(), "Q4_1"), (int8(None), "Q8_0")])
def test_what_float16_rounds_is_told(weight: Encoded, name: str) -> None:
    kept = keep(weight)
    expected = weight.decode()
    difference = np.abs(read(kept.rows, name) - expected).max() / np.abs(expected).max()
    assert 0 < kept.error < 2**-9
    assert kept.error == pytest.approx(float(difference), rel=1e-6)


def test_blocks_of_a_file_stay_in_the_order_of_the_model() -> None:
    values = GENERATOR.standard_normal((4, 32), np.float32)
    order = np.array([2, 0, 3, 1])
    blocks = round_rows("Q8_0", values)
    kept = keep(GgufBlocks(BY_NAME["Q8_0"], blocks.reshape(-1), (4, 32), order))
    np.testing.assert_array_equal(kept.rows, blocks[order])


def test_what_has_no_blocks_is_decoded() -> None:
    dense = Dense(np.zeros((2, 32), np.float32), "float32")
    narrow = Int8(np.zeros((2, 40), np.int8), np.ones((2, 2), np.float16), 32)
    tiny = Int8(np.ones((2, 32), np.int8), np.full(2, 1e-9, np.float32))
    assert [kept_format(weight) for weight in (dense, narrow, tiny)] == [None, None, None]
    with pytest.raises(TypeError, match="cannot be kept"):
        keep(dense)
