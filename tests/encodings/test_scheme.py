"""Schemes: exact sizes, and the way to JSON and back."""

from __future__ import annotations

import numpy as np
import pytest

from honed.encodings.codebook import TABLES
from honed.encodings.codebook_encoder import encode_codebook
from honed.encodings.dense import Dense
from honed.encodings.int4_encoder import encode_int4
from honed.encodings.int8_encoder import encode_int8
from honed.encodings.scheme import (
    CodebookScheme,
    DenseScheme,
    Int4Scheme,
    Int8Scheme,
    Scheme,
    from_json,
    scheme_of,
    to_json,
)
from honed.errors import ParameterError

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
    ):
        assert scheme_of(encoded).nbytes(source.shape) == encoded.nbytes


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"encoding": "int9"}, "encoding"),
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
    ],
)
def test_wrong_fields_are_named(value: dict[str, object], field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        from_json(value)
