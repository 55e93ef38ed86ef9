"""What every encoding must be: exact in its sizes, and the same after the way to JSON, to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.checkpoints.safetensors.spec import TensorSpec
from honed.encodings.activation import ActivationScales
from honed.encodings.base import Encoded
from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.encode import encode
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import SCHEMES as ALL
from honed.encodings.scheme import (
    CodebookScheme,
    DenseScheme,
    Int4Scheme,
    Int8Scheme,
    Scheme,
    SparseScheme,
    becomes,
    from_json,
    scheme_of,
    storable,
    to_json,
)
from honed.errors import ParameterError

NAME = "model.layers.0.mlp.up_proj.weight"
SCHEMES: list[Scheme] = [
    DenseScheme("bfloat16"),
    DenseScheme("float32"),
    Int8Scheme(None, None),
    Int8Scheme(None, 64),
    Int8Scheme(32, 32),
    Int4Scheme(64, offset="zero_point", activation_group=None),
    Int4Scheme(32, offset="symmetric", activation_group=32),
    Int4Scheme(32, offset="minimum", activation_group=32),
    CodebookScheme(32, TABLES["normal_float"], 32),
    CodebookScheme(64, TABLES["power_of_two"]),
    SparseScheme(0.5, 32, 32),
    SparseScheme(0.25, 64),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_json_round_trip(scheme: Scheme) -> None:
    assert from_json(to_json(scheme)) == scheme


def test_descriptions_tell_schemes_apart() -> None:
    assert len({str(scheme) for scheme in SCHEMES}) == len(SCHEMES)


@pytest.mark.parametrize("width", [64, 70])
def test_the_size_is_that_of_the_encoded_weight(width: int) -> None:
    source = Dense(np.random.default_rng(0).standard_normal((9, width)).astype(np.float32), "float32")
    for encoded in (
        source,
        encode_int8(source, name="w"),
        encode_int8(source, name="w", group=32),
        encode_int4(source, name="w", offset="symmetric"),
        encode_int4(source, name="w", offset="minimum"),
        encode_int4(source, name="w", group=64),
        encode_codebook(source, name="w", table=TABLES["linear"]),
        encode(half_zero(9, width), SparseScheme(0.5, 32), name="w"),
    ):
        assert scheme_of(encoded).nbytes(source.shape) == encoded.nbytes


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"encoding": "int9"}, "encoding"),
        ({"encoding": ["int8"]}, "encoding"),
        ({}, "encoding"),
        ({"encoding": "int8", "group": 48}, "group"),
        ({"encoding": "int8", "group": True}, "group"),
        ({"encoding": "int4", "group": None, "offset": "zero_point"}, "group"),
        ({"encoding": "int4", "group": 32, "offset": 1}, "offset"),
        ({"encoding": "dense", "dtype": "float64"}, "dtype"),
        ({"encoding": "codebook", "group": 32}, "table"),
        ({"encoding": "codebook", "group": 32, "table": [1, 2, 3]}, "table"),
        ({"encoding": "codebook", "group": 32, "table": [*range(15), "x"]}, "table"),
        ({"encoding": "codebook", "group": None, "table": list(range(16))}, "group"),
        ({"encoding": "sparse", "group": 32}, "share"),
        ({"encoding": "sparse", "group": 32, "share": 1.0}, "share"),
        ({"encoding": "sparse", "group": 32, "share": "0.5"}, "share"),
        ({"encoding": "sparse", "group": None, "share": 0.5}, "group"),
    ],
)
def test_wrong_fields_are_named(value: dict[str, object], field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        from_json(value)


def source(rows: int, width: int) -> Dense:
    return Dense(np.random.default_rng(rows * width).standard_normal((rows, width)).astype(np.float32), "float32")


def half_zero(rows: int, width: int) -> Dense:
    values = source(rows, width).values.copy()
    values[:, ::2] = 0
    return Dense(values, "float32")


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
        encode(half_zero(21, 160), SparseScheme(0.5, 32, 32), name=NAME),
        encode(half_zero(5, 7), SparseScheme(0.4, 64), name=NAME),
    ]


@pytest.mark.parametrize("weight", encoded_weights(), ids=lambda w: f"{scheme_of(w)} {w.shape}")
def test_a_weight_survives_its_tensors(weight: Encoded) -> None:
    scheme = scheme_of(weight)
    tensors = storable(weight).parts()
    parts = {part.suffix: part for part in scheme.tensors(weight.shape)}
    assert list(parts) == list(tensors)
    for suffix, part in parts.items():
        assert tensors[suffix].shape == part.shape
        assert tensors[suffix].nbytes == TensorSpec.of(NAME, part).nbytes
    back = scheme.read(weight.shape, tensors.__getitem__)
    assert scheme_of(back) == scheme
    assert np.array_equal(back.decode(), weight.decode())


def test_there_is_a_case_of_every_encoding() -> None:
    assert {scheme.name for scheme in SCHEMES} == set(ALL) == {scheme_of(weight).name for weight in encoded_weights()}


def test_what_only_a_source_has_is_refused_by_its_kind() -> None:
    class Foreign:
        shape, nbytes, kind = (1, 1), 1, "gguf"

        def decode(self, rows: slice = slice(None)) -> NDArray[np.float32]:
            return np.zeros((1, 1), np.float32)

    with pytest.raises(TypeError, match="the encoding gguf"):
        scheme_of(Foreign())


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_rounding_gives_the_scheme_that_was_asked_for(scheme: Scheme) -> None:
    weight = half_zero(5, 70)
    if scheme.name == "dense":
        with pytest.raises(TypeError, match="w: nothing is rounded to dense"):
            encode(weight, scheme, name="w")
    else:
        assert encode(weight, scheme, name="w").scheme == scheme


def test_a_codebook_may_become_one_with_a_table_where_it_was_to_be_learned() -> None:
    announced, table = CodebookScheme(32, None, 32), TABLES["power_of_two"]
    assert becomes(announced, CodebookScheme(32, table, 32))
    for other in (CodebookScheme(64, table), CodebookScheme(32, table), Int4Scheme(32, "symmetric", 32)):
        assert not becomes(announced, other)
    assert not becomes(CodebookScheme(32, TABLES["linear"], 32), CodebookScheme(32, table, 32))
    assert becomes(Int8Scheme(32), Int8Scheme(32))
    assert str(announced) == "codebook learned group 32, activations in groups of 32"
    assert announced.nbytes((9, 64)) == CodebookScheme(32, table, 32).nbytes((9, 64))
    with pytest.raises(TypeError, match="no values yet"):
        to_json(announced)


def test_a_scheme_without_a_table_gets_one() -> None:
    values = np.random.default_rng(0).standard_t(3, (9, 64)).astype(np.float32)
    found = encode(Dense(values, "float32"), CodebookScheme(32, None), name="w")
    scheme = scheme_of(found)
    assert isinstance(scheme, CodebookScheme)
    assert scheme.table not in (None, *TABLES.values())
