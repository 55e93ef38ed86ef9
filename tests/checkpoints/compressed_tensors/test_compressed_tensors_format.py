"""The layouts, against the packing of the compressed-tensors library and against what is read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.checkpoints.compressed_tensors.format import (
    from_tensors,
    minimum_spec,
    pack_zero_points,
    quantization_config,
    tensor_specs,
    to_tensors,
    unpack_codes,
    unpack_zero_points,
)
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import DenseScheme, Int4Scheme, Int8Scheme, Scheme, scheme_of

NAME = "model.layers.0.mlp.up_proj.weight"


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(rows * width).standard_normal((rows, width)).astype(np.float32), "float32")


def encoded_weights() -> list[Encoded]:
    values = source(21, 160)
    grouped = ActivationScales(32)
    return [
        Dense(values.values.astype(np.float16), "float16"),
        encode_int8(values, name=NAME),
        encode_int8(source(5, 7), name=NAME),
        encode_int8(values, name=NAME, activation=grouped),
        encode_int8(source(5, 7), name=NAME, activation=grouped),
        encode_int8(values, name=NAME, group=32, activation=grouped),
        encode_int4(values, name=NAME, offset="symmetric"),
        encode_int4(values, name=NAME, group=32, activation=grouped),
        encode_int4(values, name=NAME, group=32, offset="minimum", activation=grouped),
        encode_codebook(values, name=NAME, table=TABLES["normal_float"], activation=grouped),
        encode_codebook(source(5, 7), name=NAME, table=TABLES["power_of_two"], group=64),
    ]


@pytest.mark.parametrize("weight", encoded_weights(), ids=lambda w: f"{scheme_of(w)} {w.shape}")
def test_a_weight_survives_its_tensors(weight: Encoded) -> None:
    scheme = scheme_of(weight)
    tensors = to_tensors(NAME, weight)
    specs = tensor_specs(NAME, scheme, weight.shape)
    if isinstance(scheme, Int4Scheme) and scheme.offset == "minimum":
        specs = (*specs, minimum_spec(NAME, scheme, weight.shape))
    for spec in specs:
        assert tensors[spec.name].shape == spec.shape
        assert tensors[spec.name].nbytes == spec.nbytes
    assert len(tensors) == len(specs)
    back = from_tensors(NAME, scheme, weight.shape, tensors.__getitem__)
    assert scheme_of(back) == scheme
    assert np.array_equal(back.decode(), weight.decode())


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


def test_the_config_is_one_that_the_library_accepts() -> None:
    from compressed_tensors.quantization import QuantizationConfig

    schemes: dict[str, Scheme] = {
        "a.weight": Int8Scheme(None),
        "b.weight": Int4Scheme(32, offset="zero_point", activation_group=32),
        "c.weight": Int4Scheme(32, offset="zero_point"),
        "d.weight": Int8Scheme(32, 32),
    }
    written = quantization_config(schemes, dense_modules=("lm_head",))
    parsed = QuantizationConfig.model_validate(written)
    by_target = {target: group for group in parsed.config_groups.values() for target in group.targets}
    assert set(by_target) == {"Linear", "a", "d"}
    assert by_target["Linear"].weights.num_bits == 4
    assert not by_target["Linear"].weights.symmetric
    assert by_target["Linear"].input_activations is None
    assert by_target["a"].input_activations.strategy == "token"
    assert (by_target["d"].format, by_target["a"].format) == ("pack-quantized", "int-quantized")
    assert written["format"] == "mixed-precision"
    assert written["ignore"] == ["lm_head"]


def test_activations_do_not_split_a_group_of_equal_weights() -> None:
    schemes: dict[str, Scheme] = {"a.weight": Int8Scheme(32, 32), "b.weight": Int8Scheme(32, None)}
    assert list(quantization_config(schemes, dense_modules=())["config_groups"]) == ["group_0"]


def test_what_only_a_source_has_cannot_be_stored() -> None:
    class Foreign:
        shape, nbytes, kind = (1, 1), 1, "gguf"

        def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
            return np.zeros((1, 1), np.float32)

    with pytest.raises(TypeError, match="gguf"):
        to_tensors(NAME, Foreign())
    assert DenseScheme("bfloat16").nbytes((3, 5)) == 30
