from __future__ import annotations

from collections.abc import Mapping

import pytest

from honed.errors import PlanError, UnsupportedError
from honed.models.base import Dimensions
from honed.models.programs import encode
from honed.models.recorded import encoding, list_weights, recorded
from honed.models.registry import read_model
from honed.ops.record import Node, Program, Recorder
from honed.ops.values import Weight
from tiny_models import FAMILIES, golden


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_names_exactly_the_weights_that_transformers_saves(family: str) -> None:
    checkpoint = golden(family).checkpoint
    weights = read_model(checkpoint.config, checkpoint.path).weights()
    assert {name: weight.shape for name, weight in weights.items()} == {
        name: checkpoint.weight(name).shape for name in checkpoint.names
    }


def test_equal_models_share_one_graph() -> None:
    checkpoint = golden("qwen3").checkpoint
    one, other = (read_model(checkpoint.config, checkpoint.path) for _ in range(2))
    assert recorded(one) is recorded(other)
    assert recorded(one) is not recorded(read_model({**checkpoint.config, "rms_norm_eps": 0.5}))


class Encoder:
    """One without a pooler."""

    width, types = 8, 0

    def hidden(self, ops: Recorder) -> Node:
        return ops.embedding(Weight("table", (10, 8)))

    def programs(self) -> Mapping[str, Program]:
        return encode(self.hidden)

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)

    @property
    def dimensions(self) -> Dimensions:
        return Dimensions(10, 16, 0, 1, 1, 8)


def test_an_encoder_is_recorded_once_for_all_of_its_results() -> None:
    model = Encoder()
    assert list(model.weights()) == ["table"]
    assert list(encoding(model, "mean").outputs) == ["mean"]
    assert list(encoding(model, "hidden").outputs) == ["hidden"]
    with pytest.raises(UnsupportedError, match="have no pooler"):
        encoding(model, "pooler")


def test_a_program_that_there_is_not_is_named_beside_those_that_there_are() -> None:
    checkpoint = golden("qwen3").checkpoint
    with pytest.raises(PlanError, match="Qwen3: has no program encode; it has step"):
        recorded(read_model(checkpoint.config, checkpoint.path), "encode")
