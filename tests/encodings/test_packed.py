"""Packed weights are what they were packed from, and hold no codes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.activation import ActivationScales
from honed.encodings.codebook import TABLES, Codebook
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8 import Int8
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.packed import PackedCodebook, PackedInt4, PackedInt8, split_nibbles
from honed.encodings.scheme import scheme_of


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(width).standard_normal((rows, width)).astype(np.float32), "float32")


@pytest.mark.parametrize("group", [None, 32])
@pytest.mark.parametrize("width", [64, 70])
def test_int8(group: int | None, width: int) -> None:
    plain = encode_int8(source(9, width), name="w", group=group, activation=ActivationScales(group))
    filled = np.pad(plain.codes.view(np.uint8) ^ np.uint8(0x80), ((0, 0), (0, 6)))
    packed = PackedInt8(filled, width, scales=plain.scales, group=group, activation=plain.activation)
    assert isinstance(packed, Int8)
    assert (packed.shape, packed.nbytes, packed.kind) == (plain.shape, plain.nbytes, "int8")
    assert scheme_of(packed) == scheme_of(plain)
    assert packed.codes.dtype == np.int8
    assert packed.codes.flags.c_contiguous
    assert np.array_equal(packed.codes, plain.codes)
    assert packed.codes is not packed.codes
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(packed.decode(rows), plain.decode(rows))


@pytest.mark.parametrize("offset", ["symmetric", "zero_point", "minimum"])
@pytest.mark.parametrize("width", [64, 71])
def test_int4(offset: Offset, width: int) -> None:
    plain = encode_int4(source(9, width), name="w", offset=offset)
    even = np.pad(plain.codes, ((0, 0), (0, width % 2)))
    pairs = even[:, 0::2] | (even[:, 1::2] << np.uint8(4))
    packed = PackedInt4(pairs, width, scales=plain.scales, offsets=plain.offsets, group=32, activation=plain.activation)
    assert isinstance(packed, Int4)
    assert (packed.shape, packed.nbytes, packed.kind) == (plain.shape, plain.nbytes, "int4")
    assert scheme_of(packed) == scheme_of(plain)
    assert packed.codes.flags.c_contiguous
    assert np.array_equal(packed.codes, plain.codes)
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(packed.decode(rows), plain.decode(rows))


@pytest.mark.parametrize("width", [64, 71])
def test_codebook(width: int) -> None:
    plain = encode_codebook(source(9, width), name="w", table=TABLES["normal_float"])
    even = np.pad(plain.codes, ((0, 0), (0, width % 2)))
    pairs = even[:, 0::2] | (even[:, 1::2] << np.uint8(4))
    packed = PackedCodebook(pairs, width, scales=plain.scales, table=plain.table, group=32, activation=plain.activation)
    assert isinstance(packed, Codebook)
    assert (packed.shape, packed.nbytes, packed.kind) == (plain.shape, plain.nbytes, "codebook")
    assert scheme_of(packed) == scheme_of(plain)
    assert packed.codes.flags.c_contiguous
    assert np.array_equal(packed.codes, plain.codes)
    for rows in (slice(None), slice(2, 5), slice(8, None)):
        assert np.array_equal(packed.decode(rows), plain.decode(rows))


def test_nibbles_of_every_byte() -> None:
    pairs = np.arange(256, dtype=np.uint8)[None, :]
    assert split_nibbles(pairs).tolist() == [[part for byte in range(256) for part in (byte % 16, byte // 16)]]
