"""MXFP4: decoded values are those of the gguf package and of transformers, and the codebook holds them exactly."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from honed.encodings.codebook import CodebookScheme
from honed.encodings.dense import DenseFormat, bfloat16_to_float32, float32_to_bfloat16
from honed.encodings.gguf_blocks import GgufBlocks
from honed.encodings.gguf_formats import FORMATS
from honed.encodings.gguf_integers import to_integers
from honed.encodings.mxfp4 import TABLE, Mxfp4, halved_scales

SHAPE = (3, 20, 96)
"""Matrices, out, in."""


def random_weight(low: int, high: int) -> Mxfp4:
    """Every code, and exponents from `low` to `high`."""
    rng = np.random.default_rng(low)
    groups = (*SHAPE[:-1], SHAPE[-1] // 32)
    blocks = rng.integers(0, 256, (*groups, 16), dtype=np.uint8)
    return Mxfp4(blocks, rng.integers(low, high + 1, groups).astype(np.uint8))


def by_transformers(weight: Mxfp4) -> NDArray[np.float32]:
    blocks, exponents = torch.from_numpy(weight.blocks.copy()), torch.from_numpy(weight.exponents.copy())
    values = convert_moe_packed_tensors(blocks, exponents)  # [matrices, in, out]
    assert values.dtype == torch.bfloat16
    found: NDArray[np.float32] = values.float().transpose(1, 2).contiguous().numpy()
    return found


def in_gguf(weight: Mxfp4) -> GgufBlocks:
    """The same values as they lie in a GGUF file: low halves first."""
    codes = weight._codes().reshape(-1, 2, 16)
    halves = codes[:, 0] | codes[:, 1] << np.uint8(4)
    data = np.concatenate((weight.exponents.reshape(-1, 1), halves), axis=1)
    return GgufBlocks(FORMATS[39], np.ascontiguousarray(data).reshape(-1), weight.shape)


def test_values_are_those_of_transformers_whatever_the_scale() -> None:
    weight = random_weight(1, 252)
    np.testing.assert_array_equal(weight.decode(), by_transformers(weight))
    assert weight.decode().dtype == np.float32


def test_values_are_those_of_the_gguf_package_to_the_bit() -> None:
    weight = random_weight(0, 255)
    blocks = in_gguf(weight)
    with np.errstate(over="ignore"):
        expected = gguf.quants.dequantize(blocks.data.reshape(60, -1), gguf.GGMLQuantizationType.MXFP4)
    found = blocks.matrix(1).decode()
    np.testing.assert_array_equal(found.view(np.uint32), expected[20:40].view(np.uint32))
    np.testing.assert_array_equal(weight.matrix(1).decode().view(np.uint32), found.view(np.uint32))


def test_the_smallest_scales_are_denormal_and_exact() -> None:
    expected = [2.0**-128, 2.0**-127, 2.0**-126, 0.5, 2.0**126]
    assert halved_scales(np.array([0, 1, 2, 127, 254], dtype=np.uint8)).tolist() == expected


def test_bfloat16_holds_every_value() -> None:
    values = random_weight(2, 252).decode()
    np.testing.assert_array_equal(bfloat16_to_float32(float32_to_bfloat16(values)), values)


def test_the_codebook_is_the_weight() -> None:
    weight = random_weight(104, 143).matrix(2)
    for codebook in (weight.as_run(), to_integers(in_gguf(random_weight(104, 143)).matrix(2))):
        np.testing.assert_array_equal(codebook.decode(), weight.decode())
        assert codebook.scheme == weight.run_as("auto")
    integers = weight.integers()
    np.testing.assert_array_equal(integers.codes * np.repeat(integers.scales, 32, axis=1), weight.decode())
    assert weight.run_as("auto") == CodebookScheme(32, TABLE, 32)
    assert weight.run_as("float32") == DenseFormat("float32")


def test_blocks_of_zeros_have_any_scale() -> None:
    weight = random_weight(110, 130).matrix(0)
    weight.blocks[4, 1] = np.tile(np.array([0x08, 0x80], dtype=np.uint8), 8)  # zeros of both signs
    weight.exponents[4, 1] = 0
    np.testing.assert_array_equal(weight.as_run().decode(), weight.decode())
    assert not weight.decode()[4, 32:64].any()


@pytest.mark.parametrize(("exponent", "power"), [(103, -24), (144, 17), (0, -127), (255, 128)])
def test_a_scale_that_kernels_do_not_hold_is_named(exponent: int, power: int) -> None:
    weight = random_weight(104, 143).matrix(0)
    weight.blocks[7, 2] = 0x21
    weight.exponents[7, 2] = exponent
    with pytest.raises(ValueError, match=rf"row 7: block 2 of MXFP4 has the scale 2\^{power}, and kernels hold"):
        weight.as_run()
    with pytest.raises(ValueError, match="row 7: block 2 of MXFP4"):
        to_integers(in_gguf(weight))


def test_rows_are_views_where_they_lie_at_even_distances() -> None:
    weight = random_weight(100, 150).matrix(1)
    values = weight.decode()
    for numbers in (np.arange(0, 20, 2), np.arange(1, 20, 2), np.arange(3, 9)):
        part = weight.rows_at(numbers)
        np.testing.assert_array_equal(part.decode(), values[numbers])
        assert np.shares_memory(part.blocks, weight.blocks)
    for odd in (np.array([4, 3, 9]), np.array([5]), np.array([2, 2])):
        np.testing.assert_array_equal(weight.rows_at(odd).decode(), values[odd])
    np.testing.assert_array_equal(weight.decode(slice(3, 11)), values[3:11])


def test_what_is_too_large_for_float32_is_seen_without_decoding() -> None:
    assert np.isfinite(random_weight(0, 252).floats()["largest of block"]).all()
    assert not np.isfinite(random_weight(253, 255).floats()["largest of block"]).any()


def test_sizes() -> None:
    weight = random_weight(100, 150)
    assert (weight.shape, weight.kind) == (SHAPE, "mxfp4")
    assert weight.nbytes == 3 * 20 * 96 // 32 * 17 == in_gguf(weight).nbytes
    with pytest.raises(TypeError, match="do not go with exponents"):
        Mxfp4(weight.blocks[:2], weight.exponents)
