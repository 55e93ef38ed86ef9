"""Configs that lie are refused before any memory is taken, naming field and value."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import FormatError, HonedError, UnsupportedError
from honed.models.config import Fields, read_decoder, read_layer_windows
from honed.models.registry import read_model

GOOD: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
}

LIES: list[tuple[str, Any]] = [
    ("num_hidden_layers", 10**9),
    ("num_hidden_layers", 0),
    ("num_hidden_layers", -1),
    ("num_attention_heads", 2.5),
    ("num_attention_heads", True),
    ("num_attention_heads", 6),
    ("num_attention_heads", 2**64),
    ("num_key_value_heads", 3),
    ("num_key_value_heads", 0),
    ("head_dim", 7),
    ("head_dim", -8),
    ("hidden_size", "64"),
    ("hidden_size", 10**12),
    ("hidden_size", [64]),
    ("vocab_size", None),
    ("vocab_size", -5),
    ("intermediate_size", math.nan),
    ("max_position_embeddings", 0),
    ("rms_norm_eps", math.nan),
    ("rms_norm_eps", math.inf),
    ("rms_norm_eps", -1e-5),
    ("rms_norm_eps", "small"),
    ("tie_word_embeddings", "yes"),
    ("attention_bias", 1),
    ("hidden_act", 3),
    ("rope_theta", 0),
    ("rope_theta", 1e-308),
    ("rope_scaling", "linear"),
    ("rope_scaling", {"rope_type": "linear", "factor": 1e-320}),
]


@pytest.mark.parametrize(("field", "value"), LIES)
def test_a_lie_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(FormatError) as caught:
        read_model({**GOOD, field: value}, "some/config.json")
    message = str(caught.value)
    assert message.startswith("some/config.json: ")
    # Heads that do not divide are found at the field that they do not divide.
    assert field in message or (field == "num_attention_heads" and "hidden_size" in message)


@pytest.mark.parametrize("names", [[["full_attention"], ["full_attention"]], [{}, {}], ["full_attention", "sideways"]])
def test_layer_types_that_are_no_known_names_are_refused(names: list[Any]) -> None:
    fields = Fields({"use_sliding_window": True, "sliding_window": 8, "layer_types": names}, "some/config.json")
    with pytest.raises(UnsupportedError, match="layer_types"):
        read_layer_windows(fields, 2)


@pytest.mark.parametrize("field", ["hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings"])
def test_a_missing_field_is_named(field: str) -> None:
    config = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(FormatError, match=rf"{field}: is missing; must be an integer from 1"):
        read_model(config)


def test_defaults_of_the_first_llama_configs() -> None:
    config = {key: value for key, value in GOOD.items() if key not in ("num_key_value_heads", "rms_norm_eps")}
    decoder = read_decoder(Fields(config, "c"), kv_heads_default=True)
    assert (decoder.dimensions.kv_heads, decoder.dimensions.head_dim, decoder.eps) == (4, 16, 1e-6)
    assert not decoder.tied


def test_only_llama_may_leave_out_the_kv_heads() -> None:
    config = {key: value for key, value in GOOD.items() if key != "num_key_value_heads"}
    with pytest.raises(FormatError, match="num_key_value_heads"):
        read_model({**config, "model_type": "mistral"})


def test_an_unknown_activation_lists_those_that_are_known() -> None:
    with pytest.raises(UnsupportedError, match=r"hidden_act 'relu2' is not supported; .*gelu_pytorch_tanh.*silu"):
        read_model({**GOOD, "hidden_act": "relu2"})


def test_windows_by_layer_type_and_by_first_layer() -> None:
    slides = {"use_sliding_window": True, "sliding_window": 9}
    named = {**slides, "layer_types": ["sliding_attention", "full_attention"]}
    assert read_layer_windows(Fields(named, "c"), 2) == (9, None)
    assert read_layer_windows(Fields({**slides, "max_window_layers": 1}, "c"), 3) == (None, 9, 9)
    assert read_layer_windows(Fields({"sliding_window": 9}, "c"), 2) == (None, None)
    with pytest.raises(FormatError, match="layer_types"):
        read_layer_windows(Fields(named, "c"), 3)
    with pytest.raises(UnsupportedError, match="chunked_attention"):
        read_layer_windows(Fields({**slides, "layer_types": ["chunked_attention"]}, "c"), 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    kind=st.sampled_from(["llama", "mistral", "qwen2", "qwen3"]),
    changes=st.dictionaries(
        st.sampled_from(
            [*GOOD, "head_dim", "rope_parameters", "rope_scaling", "rope_theta", "sliding_window", "layer_types"]
        ),
        JSON,
        max_size=4,
    ),
)
def test_any_config_is_read_or_refused(kind: str, changes: dict[str, Any]) -> None:
    try:
        model = read_model({**GOOD, "model_type": kind, **changes})
    except HonedError:
        return
    size = model.dimensions
    assert size.heads % size.kv_heads == 0
    assert all(extent > 0 for weight in model.weights().values() for extent in weight.shape)
