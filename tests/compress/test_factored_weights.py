from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from honed.compress.base import ModelState
from honed.compress.factored_weights import Factor, factored_state
from honed.compress.linears import HEAD
from honed.compress.weights import SourceWeights
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.models.factored import FACTORS_FIELD, FactorGroup, factors_of
from honed.models.registry import read_model
from tiny_models import SIZES

CONFIG = {**SIZES, "model_type": "llama", "tie_word_embeddings": True}
GATE, UP, DOWN = (f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up", "down"))
FIRST, SECOND = FactorGroup((GATE, UP), 16), FactorGroup((DOWN,), 8)


class Making:
    """Factors of ones, and how often a group was asked for."""

    def __init__(self, state: ModelState) -> None:
        self.asked: list[FactorGroup] = []
        self._state = state

    def __call__(self, group: FactorGroup) -> Mapping[str, Encoded]:
        self.asked.append(group)
        width = self._state.weights[group.weights[0]].shape[1]
        shapes = {group.inner: (group.rank, width)}
        shapes |= {group.outer(name): (self._state.weights[name].shape[0], group.rank) for name in group.weights}
        return {name: Dense(np.ones(shape, np.float32), "float32") for name, shape in shapes.items()}


def state() -> ModelState:
    model = read_model(CONFIG)
    shapes = {name: weight.shape for name, weight in model.weights().items()}
    weights = SourceWeights(model, lambda name: Dense(np.zeros(shapes[name], np.float32), "float32"))
    return ModelState(CONFIG, model, weights, notes=("before",))


def test_config_model_and_weights_change_together_and_nothing_is_made() -> None:
    before = state()
    make = Making(before)
    after = factored_state(before, [FIRST, SECOND], make, "after")
    assert read_model(after.config) == after.model
    assert factors_of(after.model) == (FIRST, SECOND)
    assert set(after.weights) == {*after.model.weights(), HEAD}
    assert len(after.weights) == len(list(after.weights))
    assert (after.notes, after.inputs) == (("before", "after"), None)
    for name, weight in after.model.weights().items():
        assert after.weights[name].shape == weight.shape
    assert make.asked == []
    for name in (GATE, UP, DOWN, "unknown"):
        assert name not in after.weights
        with pytest.raises(KeyError):
            after.weights[name]
    assert before.config == CONFIG


def test_a_factor_is_made_when_it_is_decoded_and_once_as_long_as_it_is_held() -> None:
    make = Making(before := state())
    after = factored_state(before, [FIRST], make, "")
    factor = after.weights[FIRST.outer(UP)]
    assert isinstance(factor, Factor)
    assert (factor.shape, factor.nbytes, factor.kind) == ((88, 16), 4 * 88 * 16, "factor")
    assert make.asked == []
    assert factor.decode().sum() == 88 * 16
    assert factor.decode(slice(2, 5)).shape == (3, 16)
    assert make.asked == [FIRST]


def test_a_second_pass_adds_to_the_factors_of_the_first() -> None:
    first = factored_state(before := state(), [FIRST], Making(before), "one")
    second = factored_state(first, [SECOND], Making(before), "two")
    assert [group["rank"] for group in second.config[FACTORS_FIELD]] == [16, 8]
    assert factors_of(second.model) == (FIRST, SECOND)
    assert second.weights[FIRST.inner].decode().all()
    assert second.weights[SECOND.inner].shape == (8, 88)


def test_what_is_added_to_a_layer_leaves_it_there() -> None:
    group = FactorGroup((DOWN,), 8, added=True)
    after = factored_state(before := state(), [group], Making(before), "")
    assert after.weights[DOWN].shape == (48, 88)
    assert {DOWN, group.inner, group.outer(DOWN)} <= set(after.weights)
