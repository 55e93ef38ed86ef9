"""By weight times activation within each row, with activations as they are behind blocks that are pruned already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.compress.observe import observe
from honed.encodings.base import Encoded
from honed.errors import ParameterError
from sparse_models import WINDOWS, Source, compressed, decoder

FIRST, SECOND = (f"model.layers.{layer}.mlp.gate_proj.weight" for layer in (0, 1))
Q = "model.layers.0.self_attn.q_proj.weight"


def by_definition(values: NDArray[np.float32], rms: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    result = values.copy()
    for row in result:
        row[np.argsort(np.abs(row) * rms, kind="stable")[:count]] = 0
    return result


def pruned(source: Source, **settings: Any) -> dict[str, Encoded]:
    state = compressed(decoder(), source, {"pass": "wanda", **settings}).state
    made = {name: state.weights[name] for name in state.weights}
    for weight in made.values():
        weight.decode()
    return made


def test_each_layer_by_what_enters_it_where_those_before_it_are_pruned() -> None:
    model, source = decoder(), Source(decoder())
    made = pruned(source, share=0.25)
    before = observe(model, source.weights, WINDOWS, {"mean_square"}, threads=1)
    now = observe(model, made, WINDOWS, {"mean_square"}, threads=1)
    values = source.weights[Q].decode()
    np.testing.assert_array_equal(made[Q].decode(), by_definition(values, before.rms(Q), 16))
    for name in (FIRST, SECOND):
        values = source.weights[name].decode()
        np.testing.assert_array_equal(made[name].decode(), by_definition(values, now.rms(name), 16))
    assert not np.array_equal(made[SECOND].decode(), by_definition(values, before.rms(SECOND), 16))


def test_two_of_four_by_definition() -> None:
    model, source = decoder(), Source(decoder())
    rms = observe(model, source.weights, WINDOWS, {"mean_square"}, threads=1).rms(Q)
    values = source.weights[Q].decode()
    expected = values.copy()
    for row in expected:
        for first in range(0, 64, 4):
            run = row[first : first + 4]
            run[np.argsort(np.abs(run) * rms[first : first + 4], kind="stable")[:2]] = 0
    np.testing.assert_array_equal(pruned(source, pattern="2:4")[Q].decode(), expected)


def test_without_tokens_it_is_refused() -> None:
    with pytest.raises(ParameterError, match="wanda needs tokens"):
        compressed(decoder(), Source(decoder()), {"pass": "wanda"}, windows=[])
