"""Inverse frequencies against those that transformers computes, in both forms of config."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from honed.errors import FormatError, UnsupportedError
from honed.models.config import Fields
from honed.models.rope_scaling import read_rotary

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def read(config: dict[str, Any], head_dim: int = 64) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(read_rotary(Fields(config, "config.json"), head_dim).inverse_frequencies)


@pytest.mark.parametrize("parameters", [LLAMA3, LINEAR], ids=["llama3", "linear"])
def test_scaled_frequencies_equal_transformers(parameters: dict[str, Any]) -> None:
    config = transformers.LlamaConfig(hidden_size=256, num_attention_heads=4, rope_parameters=dict(parameters))
    expected = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, "cpu")[0].numpy()
    np.testing.assert_allclose(read({"rope_parameters": parameters}), expected, rtol=3e-7)


def test_the_older_form_means_the_same() -> None:
    scaling = {key: value for key, value in LLAMA3.items() if key not in ("rope_theta", "rope_type")}
    older = {"rope_theta": 500000.0, "rope_scaling": {**scaling, "type": "llama3"}}
    np.testing.assert_array_equal(read(older), read({"rope_parameters": LLAMA3}))


def test_the_plain_form() -> None:
    expected = (10000.0 ** (-np.arange(32) / 32)).astype(np.float32)
    np.testing.assert_array_equal(read({}), expected)
    np.testing.assert_array_equal(read({"rope_scaling": None, "rope_theta": 10000}), expected)


def test_frequency_factors_divide() -> None:
    factors = tuple(1.0 + i for i in range(32))
    np.testing.assert_allclose(read({"rope_frequency_factors": factors}), read({}) / np.array(factors), rtol=1e-7)


@pytest.mark.parametrize("factors", [(1.0,) * 31, (0.0,) * 32, (float("nan"),) * 32, ("1",) * 32, 2.0])
def test_bad_frequency_factors_are_refused(factors: Any) -> None:
    with pytest.raises(FormatError, match="rope_frequency_factors"):
        read({"rope_frequency_factors": factors})


def test_an_unknown_kind_lists_those_that_are_known() -> None:
    with pytest.raises(UnsupportedError, match=r"rope_scaling\.rope_type 'yarn'.*default, linear, llama3"):
        read({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})
    with pytest.raises(UnsupportedError, match=r"partial_rotary_factor 0\.5"):
        read({"partial_rotary_factor": 0.5})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"factor": 0}, "factor"),
        ({"factor": None}, "factor"),
        ({"high_freq_factor": 1.0}, "high_freq_factor"),
        ({"original_max_position_embeddings": -1}, "original_max_position_embeddings"),
        ({"rope_theta": "big"}, "rope_theta"),
        ({"rope_type": 3}, "rope_type"),
    ],
)
def test_a_bad_parameter_is_named_with_its_path(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError, match=rf"config.json: rope_parameters\.{field}"):
        read({"rope_parameters": {**LLAMA3, **change}})
