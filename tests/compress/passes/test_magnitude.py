"""The smallest weights of each layer, of each row or of the whole model, exactly as many as asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.passes.magnitude import shares_of_model
from honed.encodings.dense import Dense
from honed.errors import ParameterError
from sparse_models import Source, compressed, decoder

UP, DOWN = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"


def pruned(source: Source, **settings: Any) -> dict[str, Any]:
    state = compressed(decoder(), source, {"pass": "magnitude", **settings}, windows=[]).state
    return {name: state.weights[name].decode() for name in state.weights}


def test_the_smallest_of_each_layer_or_row() -> None:
    source = Source(decoder())
    values = source.weights[UP].decode()
    found = pruned(source, share=0.25)[UP]
    border = np.sort(np.abs(values).ravel())[values.size // 4]
    np.testing.assert_array_equal(found, np.where(np.abs(values) < border, 0, values))
    found = pruned(source, share=0.25, among="row")[UP]
    borders = np.sort(np.abs(values), axis=1)[:, values.shape[1] // 4, None]
    np.testing.assert_array_equal(found, np.where(np.abs(values) < borders, 0, values))


def test_two_of_four_by_hand() -> None:
    source = Source(decoder())
    values = source.weights[UP].decode().copy()
    values[0, :8] = [1, -4, 3, 2, 5, 5, 5, 5]
    source.weights[UP] = Dense(values, "float32")
    found = pruned(source, pattern="2:4")
    assert found[UP][0, :8].tolist() == [0, -4, 3, 0, 0, 0, 5, 5]
    assert (np.count_nonzero(found[DOWN].reshape(-1, 4), axis=1) == 2).all()


def test_one_threshold_for_the_whole_model() -> None:
    source = Source(decoder())
    source.weights[DOWN] = Dense(source.weights[DOWN].decode() / np.float32(3), "float32")
    names = [name for name in source.weights if name.endswith("_proj.weight") and "q_proj" not in name]
    together = np.concatenate([np.abs(source.weights[name].decode()).ravel() for name in names])
    border = np.sort(together)[round(0.4 * together.size)]
    found = pruned(source, share=0.4, among="model", overrides=[{"modules": "*.q_proj", "share": 0.0}])
    for name in names:
        values = source.weights[name].decode()
        np.testing.assert_array_equal(found[name], np.where(np.abs(values) < border, 0, values))
    assert (found["model.layers.0.self_attn.q_proj.weight"] != 0).all()
    assert (found[DOWN] == 0).mean() > 0.6


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.9999])
def test_equal_values_are_counted_and_the_first_go_first(share: float) -> None:
    random = np.random.default_rng(4)
    values = [random.integers(-3, 4, (6, 10)).astype(np.float32) * np.float32(0.01) for _ in range(3)]
    weights = {str(number): Dense(part, "float32") for number, part in enumerate(values)}
    found = shares_of_model(weights, list(weights), share)
    together = np.abs(np.concatenate([part.ravel() for part in values]))
    chosen = np.zeros(180, bool)
    chosen[together.argsort(kind="stable")[: round(share * 180)]] = True
    assert [found[name] * 60 for name in found] == pytest.approx(chosen.reshape(3, 60).sum(axis=1).tolist())


def test_what_contradicts_itself_is_refused() -> None:
    source = Source(decoder())
    with pytest.raises(ParameterError, match="among row: the pattern 2:4 chooses within each run"):
        pruned(source, pattern="2:4", among="row")
    with pytest.raises(ParameterError, match="among model: overrides must be 0"):
        pruned(source, among="model", overrides=[{"modules": "x", "share": 0.1}])
