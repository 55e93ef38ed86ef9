"""Configs of encoders: what is read, what is refused, and that the refusal names field, value and remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from honed.errors import FormatError, UnsupportedError
from honed.models.config import Fields
from honed.models.encoder_config import EncoderConfig, EncoderNames, read_encoder

GOOD: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
}
LIES: list[tuple[str, Any]] = [
    ("num_hidden_layers", 0),
    ("num_hidden_layers", 10**9),
    ("num_attention_heads", 6),
    ("num_attention_heads", True),
    ("hidden_size", "64"),
    ("hidden_size", 10**12),
    ("intermediate_size", math.nan),
    ("vocab_size", None),
    ("max_position_embeddings", 0),
    ("type_vocab_size", -1),
    ("layer_norm_eps", math.nan),
    ("layer_norm_eps", 0),
    ("layer_norm_eps", "small"),
    ("hidden_act", 3),
    ("position_embedding_type", 7),
    ("is_decoder", "no"),
    ("pruned_heads", [1]),
]


def read(**changed: Any) -> EncoderConfig:
    return read_encoder(Fields({**GOOD, **changed}, "config.json"))


def test_a_good_one() -> None:
    config = read()
    assert (config.hidden, config.intermediate, config.types, config.eps) == (64, 128, 2, 1e-5)
    assert (config.dimensions.heads, config.dimensions.kv_heads, config.dimensions.head_dim) == (4, 4, 16)
    assert (config.dimensions.context, config.positions, config.first_position) == (128, 128, 0)


def test_what_a_config_may_leave_out() -> None:
    least = {name: value for name, value in GOOD.items() if name not in ("type_vocab_size", "layer_norm_eps")}
    config = read_encoder(Fields(least, "config.json"))
    assert (config.activation, config.types, config.eps) == ("gelu", 2, 1e-12)


@pytest.mark.parametrize(
    ("name", "activation"),
    [("gelu", "gelu"), ("gelu_new", "gelu_tanh"), ("gelu_pytorch_tanh", "gelu_tanh"), ("relu", "relu")],
)
def test_activations(name: str, activation: str) -> None:
    assert read(hidden_act=name).activation == activation


@pytest.mark.parametrize(("name", "value"), LIES)
def test_lies_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(FormatError, match=r"config.json: (hidden_size|" + name + ")"):
        read(**{name: value})


def test_the_first_position_takes_from_the_context() -> None:
    fields = Fields({**GOOD, "max_position_embeddings": 514}, "config.json")
    config = read_encoder(fields, first_position=2)
    assert (config.dimensions.context, config.positions, config.first_position) == (512, 514, 2)
    with pytest.raises(FormatError, match="max_position_embeddings: is 2, but must be over 2"):
        read_encoder(Fields({**GOOD, "max_position_embeddings": 2}, "config.json"), first_position=2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "position_embedding_type 'relative_key' is not supported"),
        ("position_embedding_type", "relative_key_query", "supported is absolute"),
        ("is_decoder", True, "is_decoder is true: a decoder made of an encoder's layers is not supported"),
        ("add_cross_attention", True, "add_cross_attention is true"),
        ("hidden_act", "mish", "hidden_act 'mish' is not supported; supported are gelu,"),
        ("pruned_heads", {"1": [0, 2]}, "pruned_heads .* are not supported"),
    ],
)
def test_what_would_be_another_model(field: str, value: Any, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(**{field: value})


def test_what_does_nothing_is_let_pass() -> None:
    plain = read()
    assert (
        read(is_decoder=False, add_cross_attention=False, pruned_heads={}, position_embedding_type="absolute") == plain
    )
    assert read(is_decoder=None, pruned_heads=None) == plain


def test_other_names() -> None:
    names = EncoderNames("dim", "hidden_dim", "n_layers", "n_heads", "activation", eps=None, types=None)
    values = {
        "vocab_size": 9,
        "dim": 6,
        "hidden_dim": 7,
        "n_layers": 1,
        "n_heads": 3,
        "activation": "relu",
        "max_position_embeddings": 5,
        "layer_norm_eps": 0.5,
    }
    config = read_encoder(Fields(values, "config.json"), names)
    assert (config.hidden, config.intermediate, config.dimensions.head_dim, config.activation) == (6, 7, 2, "relu")
    assert (config.eps, config.types) == (1e-12, 0)
    with pytest.raises(FormatError, match="n_heads: is 0"):
        read_encoder(Fields({**values, "n_heads": 0}, "config.json"), names)
