"""Rows and columns of weights, and configs that must say exactly what was taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.narrowing import Narrow, read_changed
from honed.encodings.dense import Dense
from honed.errors import UnsupportedError
from pruned_models import CONFIGS, random_state


def test_rows_and_columns_by_hand() -> None:
    values = np.arange(20, dtype=np.float32).reshape(5, 4)
    kept = np.array([0, 2, 3])
    rows = Narrow(Dense(values, "float32"), lambda: kept, 0, 3)
    assert rows.shape == (3, 4) and rows.nbytes == 48
    np.testing.assert_array_equal(rows.decode(), values[kept])
    np.testing.assert_array_equal(rows.decode(slice(1, 3)), values[[2, 3]])
    assert rows.decode(slice(3, 9)).shape == (0, 4)
    columns = Narrow(Dense(values, "float32"), lambda: kept, 1, 3)
    assert columns.shape == (5, 3)
    np.testing.assert_array_equal(columns.decode(slice(4, 5)), values[4:, kept])
    vector = Narrow(Dense(values[0], "float32"), lambda: kept, 0, 3)
    assert vector.shape == (3,)
    np.testing.assert_array_equal(vector.decode(), [0, 2, 3])


def down(state: ModelState, width: int) -> dict[str, Any]:
    ends = {"gate_proj.weight": (width, 64), "up_proj.weight": (width, 64), "down_proj.weight": (64, width)}
    return {name: shape for end, shape in ends.items() for name in state.model.weights() if name.endswith(end)}


def test_the_config_that_says_it_is_read_again() -> None:
    state = random_state(CONFIGS["llama-0"])
    config, model = read_changed(state, {"intermediate_size": 80}, down(state, 80))
    assert config == {**CONFIGS["llama-0"], "intermediate_size": 80}
    assert model.weights()["model.layers.1.mlp.up_proj.weight"].shape == (80, 64)


def test_a_config_that_says_something_else_is_refused() -> None:
    state = random_state(CONFIGS["llama-0"])
    with pytest.raises(UnsupportedError, match=r"gate_proj.weight would be 80 by 64, and is 88 by 64 in the"):
        read_changed(state, {"intermediate_size": 88}, down(state, 80))
    with pytest.raises(UnsupportedError, match=r"cannot have num_attention_heads 5: config: num_key_value_heads"):
        read_changed(state, {"num_attention_heads": 5}, {})
    with pytest.raises(UnsupportedError, match=r"means another model than this one with less in it"):
        read_changed(state, {"rms_norm_eps": 0.5}, {})
    with pytest.raises(UnsupportedError, match=r"layers.1.* would be 64, and is not there in the family"):
        read_changed(state, {"num_hidden_layers": 1}, {})
