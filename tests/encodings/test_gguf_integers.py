"""Blocks as integers: the weights that the gguf package decodes, to the bit; what cannot be held exactly is refused."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS, BlockFormat
from honed.encodings.gguf_grid_blocks import POINTS
from honed.encodings.gguf_integers import to_integers, to_super_blocks
from honed.encodings.int4 import Int4

BY_NAME = {entry.name: entry for entry in FORMATS.values()}


def random_blocks(block_format: BlockFormat, shape: tuple[int, int], seed: int) -> GgufBlocks:
    """Codes of every value, -128 among them, and finite scales of both signs, subnormal ones too."""
    rng = np.random.default_rng(seed)
    count = shape[0] * shape[1] // block_format.values
    data = rng.integers(0, 256, count * block_format.nbytes, dtype=np.uint8)
    records = data.view(block_format.layout)
    if block_format.name == "IQ1_M":  # whose scale is in four places; this one is never Inf or NaN
        records["scales"][:, 3] &= 0xBFFF
    for field in block_format.scales:
        bits = rng.integers(0, 0x7C00, count, dtype=np.uint16) | (rng.integers(0, 2, count, dtype=np.uint16) << 15)
        records[field] = bits.view(np.float16)
    return GgufBlocks(block_format, data, shape)


@pytest.mark.parametrize("name", ["Q8_0", "Q5_0", "Q4_0", "Q4_1", "IQ4_NL", "TQ1_0", "TQ2_0"])
def test_the_weights_are_those_of_the_gguf_package_to_the_bit(name: str) -> None:
    width = 512 if name.startswith("TQ") else 160
    blocks = random_blocks(BY_NAME[name], (33, width), seed=3)
    expected = gguf.quants.dequantize(blocks.stored, gguf.GGMLQuantizationType[name])
    integers = to_integers(blocks)
    np.testing.assert_array_equal(integers.decode(), expected)
    assert (integers.group, integers.activation.group, integers.shape) == (32, 32, (33, width))
    if isinstance(integers, Int4):
        assert integers.offset == ("minimum" if name == "Q4_1" else "symmetric")


@pytest.mark.parametrize("name", ["Q8_0", "Q4_1"])
def test_rows_in_another_order(name: str) -> None:
    plain = random_blocks(BY_NAME[name], (48, 64), seed=4)
    order = np.random.default_rng(1).permutation(48)
    ordered = GgufBlocks(plain.format, plain.data, plain.shape, order)
    np.testing.assert_array_equal(to_integers(ordered).decode(), plain.decode()[order])


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q5_1", "Q6_K", "IQ4_XS", *POINTS])
def test_factors_and_levels_give_the_weights_of_the_gguf_package_to_the_bit(name: str) -> None:
    blocks = random_blocks(BY_NAME[name], (35, 768), seed=7)
    expected = gguf.quants.dequantize(blocks.stored, gguf.GGMLQuantizationType[name])
    made = to_super_blocks(blocks)
    codes = made.integers().codes.astype(np.float32)
    values = np.repeat(made.scales, made.group, axis=1) * codes
    if made.minimums is not None:
        values = values + np.repeat(made.minimums, made.group, axis=1)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "IQ4_XS", "IQ1_M", "IQ3_S"])
def test_rows_of_super_blocks_in_another_order(name: str) -> None:
    plain = random_blocks(BY_NAME[name], (48, 256), seed=4)
    order = np.random.default_rng(1).permutation(48)
    ordered = to_super_blocks(GgufBlocks(plain.format, plain.data, plain.shape, order))
    np.testing.assert_array_equal(ordered.scales, to_super_blocks(plain).scales[order])
    np.testing.assert_array_equal(ordered.codes, to_super_blocks(plain).codes[order])


@pytest.mark.parametrize("name", ["F16", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q6_K", "IQ4_XS"])
def test_blocks_whose_scales_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} of shape"):
        to_integers(random_blocks(BY_NAME[name], (2, 256), seed=5))


@pytest.mark.parametrize("name", ["F16", "Q8_0", "Q4_1", "IQ4_NL", "TQ2_0"])
def test_blocks_without_levels_are_no_super_blocks(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} of shape .* Q4_K"):
        to_super_blocks(random_blocks(BY_NAME[name], (2, 256), seed=5))


def test_a_vector_is_refused() -> None:
    blocks = random_blocks(BY_NAME["Q8_0"], (1, 64), seed=6)
    with pytest.raises(TypeError, match="is no matrix"):
        to_integers(GgufBlocks(blocks.format, blocks.data, (64,)))
