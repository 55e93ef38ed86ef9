"""The layouts, against the packing of the compressed-tensors library and against what is read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.checkpoints.compressed_tensors.declare import foreign_scheme
from honed.checkpoints.compressed_tensors.format import to_tensors, unpack_codes, zero_point_tensors, zero_points
from honed.encodings.dense import Dense
from honed.encodings.int4 import Int4, Offset
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import DenseScheme, Int4Scheme, scheme_of
from honed.encodings.tied_table import TiedTable, factors_part
from honed.encodings.words import pack_zero_points, unpack_zero_points
from honed.errors import UnsupportedError

NAME = "model.layers.0.mlp.up_proj.weight"


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(rows * width).standard_normal((rows, width)).astype(np.float32), "float32")


@settings(deadline=None, max_examples=40, derandomize=True)
@given(rows=st.integers(1, 20), words=st.integers(1, 9), bits=st.sampled_from([4, 8]), seed=st.integers(0, 99))
def test_packing_is_that_of_the_library(rows: int, words: int, bits: int, seed: int) -> None:
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    half = 1 << (bits - 1)
    width = words * 32
    signed = np.random.default_rng(seed).integers(-half, half, (rows, width)).astype(np.int8)
    packed = pack_to_int32(torch.from_numpy(signed), bits).numpy()
    unsigned = unpack_codes(packed, bits, width)
    assert np.array_equal(unsigned.astype(np.int16) - half, signed)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(rows=st.integers(9, 40), groups=st.integers(1, 9), seed=st.integers(0, 99))
def test_zero_points_are_packed_as_the_library_packs_them(rows: int, groups: int, seed: int) -> None:
    # From 9 rows on: the library cannot view a single word of several columns.
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    zeros: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 16, (rows, groups)).astype(np.uint8)
    signed = torch.from_numpy(zeros.astype(np.int8) - np.int8(8))
    ours = pack_zero_points(zeros)
    theirs = unpack_from_int32(torch.from_numpy(ours), 4, torch.Size((rows, groups)), packed_dim=0)
    assert torch.equal(theirs, signed)
    assert np.array_equal(unpack_zero_points(pack_to_int32(signed, 4, packed_dim=0).numpy(), rows), zeros)
    assert np.array_equal(unpack_zero_points(ours, rows), zeros)


def test_minimums_are_zero_points_to_other_tools() -> None:
    minimum = encode_int4(source(21, 160), name=NAME, group=32, offset="minimum")
    scheme = foreign_scheme(scheme_of(minimum))
    assert scheme == Int4Scheme(32, "zero_point")
    assert foreign_scheme(scheme) == scheme
    tensors = {**to_tensors(NAME, minimum), **zero_point_tensors(NAME, minimum)}
    back = scheme.read(minimum.shape, lambda suffix: tensors[NAME + suffix])
    assert isinstance(back, Int4)
    assert np.array_equal(back.codes, minimum.codes)
    assert back.offsets is not None
    assert np.array_equal(back.offsets, zero_points(minimum))
    symmetric = encode_int4(source(21, 160), name=NAME, group=32, offset="symmetric")
    assert zero_point_tensors(NAME, symmetric) == {}


def test_a_tied_table_has_its_factors_beside_the_tensors_of_the_head() -> None:
    head = encode_int8(source(21, 160), name=NAME, group=32)
    factors = np.exp2(np.arange(160, dtype=np.float32) % 7 - 3)
    tensors = to_tensors(NAME, TiedTable(head, factors))
    part = factors_part(head.shape)
    assert np.array_equal(tensors.pop(NAME + part.suffix), factors)
    assert (part.dtype, part.shape) == ("F32", (160,))
    assert all(np.array_equal(values, tensors[name]) for name, values in to_tensors(NAME, head).items())


def test_what_only_a_source_has_cannot_be_stored() -> None:
    class Foreign:
        shape, nbytes, kind = (1, 1), 1, "gguf"

        def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
            return np.zeros((1, 1), np.float32)

    with pytest.raises(TypeError, match="gguf"):
        to_tensors(NAME, Foreign())
    assert DenseScheme("bfloat16").nbytes((3, 5)) == 30


@pytest.mark.parametrize(
    ("offset", "largest", "finite"),
    [
        *((offset, 65_000.0, True) for offset in ("symmetric", "zero_point", "minimum")),
        *((offset, sign * 70_000.0, False) for offset in ("symmetric", "zero_point") for sign in (1, -1)),
    ],
)
def test_int4_that_other_tools_would_read_as_infinite_is_refused_by_name(
    offset: Offset, largest: float, finite: bool
) -> None:
    values = np.zeros((9, 64), np.float32)
    values[8, 40] = largest
    values[2] = np.linspace(-1, 1, 64)
    weight = encode_int4(Dense(values, "float32"), name="x", group=32, offset=offset)
    if finite:
        scales = to_tensors("a.b.weight", weight)["a.b.weight_scale"]
        zeros = np.full(scales.shape, 8) if weight.offsets is None else zero_points(weight)
        steps = torch.from_numpy(weight.codes.astype(np.float16) - np.repeat(zeros, 32, axis=1).astype(np.float16))
        assert torch.isfinite(steps * torch.from_numpy(np.repeat(scales, 32, axis=1))).all()
    else:
        with pytest.raises(
            UnsupportedError, match=r'a\.b\.weight: reaches 7\d{4}.*"modules": "a\.b", "setting": "dense"'
        ):
            to_tensors("a.b.weight", weight)
