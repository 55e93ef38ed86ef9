"""Decoding against the gguf package, bit for bit, scales that are NaN, Inf or subnormal included."""

from __future__ import annotations

import tracemalloc

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from honed.encodings.gguf_blocks import CHUNK_VALUES, GgufBlocks
from honed.encodings.gguf_formats import FORMATS, OTHER_TYPES, BlockFormat

ODD_SCALES = np.array([0, 1, 0x3FF, 0x8001, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0x3C00, 0xBC00], dtype=np.uint16)
formats = pytest.mark.parametrize("block_format", FORMATS.values(), ids=lambda f: f.name)


def random_weight(block_format: BlockFormat, shape: tuple[int, ...], seed: int) -> GgufBlocks:
    """Random bytes; every second scale is one of the odd ones."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape)) // block_format.values
    data = rng.integers(0, 256, count * block_format.nbytes, dtype=np.uint8)
    records = data.view(block_format.layout)
    for field in block_format.scales:
        if records[field].dtype == np.float16:
            records[field][::2] = rng.choice(ODD_SCALES, len(records[::2])).view(np.float16)
    return GgufBlocks(block_format, data, shape)


def oracle(weight: GgufBlocks) -> NDArray[np.float32]:
    kind = gguf.GGMLQuantizationType(weight.format.type_id)
    with np.errstate(all="ignore"):
        rows = weight.data.reshape(weight.shape[0] if len(weight.shape) == 2 else 1, -1)
        return np.asarray(gguf.quants.dequantize(rows, kind), dtype=np.float32).reshape(weight.shape)


def same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


@formats
@pytest.mark.parametrize("shape", [(1, 256), (7, 512), (33, 768), (600, 1024), (512,)], ids=str)
def test_equals_the_gguf_package_to_the_bit(block_format: BlockFormat, shape: tuple[int, ...]) -> None:
    weight = random_weight(block_format, shape, seed=block_format.type_id)
    assert same_bits(weight.decode(), oracle(weight))


@formats
def test_rows_and_order(block_format: BlockFormat) -> None:
    plain = random_weight(block_format, (48, 256), seed=5)
    order = np.random.default_rng(1).permutation(48)
    ordered = GgufBlocks(plain.format, plain.data, plain.shape, order)
    whole = oracle(plain)
    for rows in (slice(None), slice(3, 19), slice(40, 400), slice(None, None, 5), slice(9, 9), slice(-4, None)):
        assert same_bits(plain.decode(rows), whole[rows])
        assert same_bits(ordered.decode(rows), whole[order][rows])
    for rows in (slice(0, 16), slice(16, 48)):
        assert same_bits(plain.part(rows).decode(), whole[rows])
        assert same_bits(ordered.part(rows).decode(), whole[order][rows])
    assert np.shares_memory(plain.part(slice(16, 48)).data, plain.data)


def test_order_of_a_vector() -> None:
    plain = random_weight(FORMATS[0], (256,), seed=2)
    order = np.random.default_rng(3).permutation(256)
    assert same_bits(
        GgufBlocks(plain.format, plain.data, plain.shape, order).decode(slice(8, 40)), oracle(plain)[order][8:40]
    )


@formats
def test_sizes_are_those_of_the_gguf_package(block_format: BlockFormat) -> None:
    kind = gguf.GGMLQuantizationType(block_format.type_id)
    assert (block_format.name, (block_format.values, block_format.nbytes)) == (kind.name, gguf.GGML_QUANT_SIZES[kind])
    weight = random_weight(block_format, (4, 512), seed=1)
    assert weight.nbytes == 4 * 512 // block_format.values * block_format.nbytes
    assert (weight.kind, weight.type_name, weight.shape) == ("gguf", block_format.name, (4, 512))


def test_names_of_other_types_are_ggmls() -> None:
    assert all(gguf.GGMLQuantizationType(number).name == name for number, name in OTHER_TYPES.items())
    assert not set(OTHER_TYPES) & set(FORMATS)


def test_memory_beside_the_result_is_bounded() -> None:
    weight = random_weight(FORMATS[14], (2048, 2048), seed=1)
    tracemalloc.start()
    weight.decode()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2048 * 2048 * 4 + 40 * CHUNK_VALUES


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(TypeError, match="takes 34 bytes"):
        GgufBlocks(FORMATS[8], np.zeros(33, np.uint8), (1, 32))
    with pytest.raises(TypeError, match="cannot hold"):
        GgufBlocks(FORMATS[8], np.zeros(34, np.uint8), (2, 16))
    with pytest.raises(TypeError, match="order of 1 rows"):
        GgufBlocks(FORMATS[8], np.zeros(34, np.uint8), (1, 32), np.arange(2))
