from __future__ import annotations

import pytest

from honed.models.decoder import BlockDecoder, Decoder
from honed.models.registry import read_model
from honed.ops.record import Node, Recorder
from honed.ops.table import Attention, RmsNorm
from tiny_models import FAMILIES, tiny_config


@pytest.mark.parametrize("family", FAMILIES)
def test_every_decoder_is_made_of_it(family: str) -> None:
    model = read_model(tiny_config(family))
    assert isinstance(model, Decoder)
    assert list(model.programs()) == ["step"]
    assert model.dimensions is model.config.dimensions


def test_a_block_is_attention_and_an_mlp_each_behind_a_norm() -> None:
    model = read_model(tiny_config("llama2"))
    assert isinstance(model, BlockDecoder)
    recorder = Recorder()
    x = recorder.float_rows("x", model.config.hidden)
    made = model.block(recorder, x, 1)
    operations = [statement.operation for statement in recorder.graph({"x": made})]
    assert isinstance(operations[1], RmsNorm)
    assert sum(isinstance(operation, Attention) for operation in operations) == 1
    names = [weight.name for operation in operations for weight in operation.weights]
    assert [name.rpartition("layers.1.")[2] for name in names if "norm" in name] == [
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
    ]


def test_what_gives_no_attention_is_no_decoder() -> None:
    class Headless(BlockDecoder):
        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            return x

    with pytest.raises(TypeError, match="attention"):
        Headless()  # type: ignore[abstract]
