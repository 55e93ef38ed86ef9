"""The layers before and behind the values of an attention are found where nothing else touches them."""

from __future__ import annotations

import pytest

from honed.compress.value_heads import find_value_heads
from honed.models.layers import causal
from honed.models.llama import Llama
from honed.models.registry import read_model
from honed.ops.record import Node, Recorder
from honed.ops.values import Weight
from honed.records import dataclass
from tiny_models import tiny_config

LAYER = "model.layers.1.self_attn"


def test_heads_that_are_shared_are_counted() -> None:
    found = find_value_heads(read_model(tiny_config("qwen2")))
    assert len(found) == 2
    heads = found[1]
    assert heads.values == Weight(f"{LAYER}.v_proj.weight", (24, 48))
    assert heads.bias == Weight(f"{LAYER}.v_proj.bias", (24,))
    assert heads.output == Weight(f"{LAYER}.o_proj.weight", (48, 48))
    assert (heads.heads, heads.sharing, heads.width) == (2, 2, 12)
    assert heads.sources == (0, 0, 1, 1)


@pytest.mark.parametrize("family", ["falcon3", "gpt2", "gpt_oss", "olmo2", "gemma3"])
def test_every_attention_of_other_families_has_some(family: str) -> None:
    model = read_model(tiny_config(family))
    assert len(find_value_heads(model)) == model.dimensions.layers


def test_values_that_something_else_reads_are_left_alone() -> None:
    @dataclass(frozen=True)
    class Reading(Llama):
        def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
            given = super().attention(ops, x, layer)
            return given if layer == 0 else ops.scale(given, 2.0)

        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            q, k = (ops.linear(x, Weight(f"{layer}.{part}", (48, 48))) for part in "qk")
            mixed = ops.attention(q, k, k, causal(12), cache=2 + layer)
            return ops.linear(mixed, Weight(f"{layer}.o", (48, 48)))

    found = find_value_heads(Reading.from_config(tiny_config("llama2"), "config"))
    # Where keys are the values, both are one. A factor behind the layer that reads is nobody's business here.
    assert [heads.output.name for heads in found] == [f"model.layers.{layer}.self_attn.o_proj.weight" for layer in "01"]


def test_a_matrix_that_is_used_twice_is_left_alone() -> None:
    @dataclass(frozen=True)
    class Shared(Llama):
        def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
            return super().attention(ops, x, 0)

    assert find_value_heads(Shared.from_config(tiny_config("llama2"), "config")) == ()
