"""The fields that decoders with LayerNorms share, checked against each other."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import FormatError
from honed.models.config import Fields
from honed.models.norm_decoder import NormDecoderConfig, NormDecoderNames, read_norm_decoder
from tiny_models import SIZES


def read(**changes: Any) -> NormDecoderConfig:
    names = NormDecoderNames(kv_heads="num_key_value_heads")
    fields = Fields({**SIZES, **changes}, "c")
    return read_norm_decoder(fields, names, activation="gelu", tied=True, kv_heads=2, intermediate=4)


def test_what_is_left_out() -> None:
    made = read(intermediate_size=None, num_key_value_heads=None)
    assert (made.intermediate, made.dimensions.kv_heads, made.tied, made.eps) == (192, 2, True, 1e-5)
    assert made.activation == "gelu"
    assert made.dimensions.head_dim == 12


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 50, "must be a multiple of num_attention_heads 4"),
        ("num_key_value_heads", 3, "must divide num_attention_heads 4"),
        ("intermediate_size", 0, "must be an integer from 1"),
        ("layer_norm_eps", 0, "must be a number over 0"),
        ("hidden_size", 8192, "at most 1024 times it"),
    ],
)
def test_fields_that_do_not_fit(field: str, value: object, message: str) -> None:
    with pytest.raises(FormatError, match=f"c: {field}: .*{message}"):
        read(**{field: value})
