"""Each place of a model where a factor can move is found, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from honed.compress.junctions import find_junctions
from honed.compress.linears import HEAD
from honed.models.llama import Llama
from honed.models.registry import read_model
from honed.ops.record import Node, Recorder
from honed.ops.values import Weight
from honed.records import dataclass
from unknown_op import odd_model


def config(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_type": kind, "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 64, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
        **changes,
    }  # fmt: skip


def test_junctions_are_the_norms_and_the_up_projections() -> None:
    model = read_model(config("llama"))
    found = {j.producer.name: [c.name for c in j.consumers] for j in find_junctions(model, head_apart=False)}
    layer = "model.layers.1"
    assert len(found) == 6
    assert found[f"{layer}.input_layernorm.weight"] == [f"{layer}.self_attn.{p}_proj.weight" for p in "qkv"]
    assert found[f"{layer}.post_attention_layernorm.weight"] == [f"{layer}.mlp.{p}_proj.weight" for p in ("gate", "up")]
    assert found[f"{layer}.mlp.up_proj.weight"] == [f"{layer}.mlp.down_proj.weight"]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_norm_before_a_tied_head_moves_only_into_a_head_apart(kind: str) -> None:
    tied, untied = (read_model(config(kind, tie_word_embeddings=tied)) for tied in (True, False))
    layers = find_junctions(tied, head_apart=False)
    assert "model.norm.weight" not in {junction.producer.name for junction in layers}
    assert not any(junction.apart for junction in layers)
    *same, last = find_junctions(tied, head_apart=True)
    assert tuple(same) == layers
    assert (last.producer.name, [weight.name for weight in last.consumers]) == ("model.norm.weight", [HEAD])
    assert last.apart
    assert last.measured == "model.embed_tokens.weight"
    for head_apart in (True, False):
        *same, last = find_junctions(untied, head_apart=head_apart)
        assert tuple(same) == layers
        assert (last.producer.name, last.apart, last.measured) == ("model.norm.weight", False, HEAD)


def test_an_up_projection_with_a_bias_is_left_alone() -> None:
    found = {j.producer.name for j in find_junctions(read_model(config("llama", mlp_bias=True)), head_apart=True)}
    assert not any("up_proj" in name for name in found)


def test_no_factor_moves_through_an_op_that_is_not_known() -> None:
    found = {j.producer.name for j in find_junctions(odd_model(), head_apart=True)}
    # The norm before the MLP of the second layer is read by the unknown op too, whose own weight nobody may touch.
    assert found == {
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.input_layernorm.weight",
        "model.layers.1.mlp.up_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.norm.weight",
    }


def test_a_weight_that_is_used_twice_takes_no_factor() -> None:
    @dataclass(frozen=True)
    class Shared(Llama):
        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            return super().mlp(ops, x, 0)

    found = {j.producer.name for j in find_junctions(Shared.from_config(config("llama"), "config"), head_apart=True)}
    assert found == {
        "model.layers.0.input_layernorm.weight", "model.layers.1.input_layernorm.weight", "model.norm.weight"
    }  # fmt: skip


def test_no_factor_moves_into_a_gate() -> None:
    @dataclass(frozen=True)
    class Squared(Llama):
        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            up = ops.linear(x, Weight(f"{layer}.up", (64, 32)))
            return ops.linear(ops.gated(up, up, "silu"), Weight(f"{layer}.down", (32, 64)))

    found = {j.producer.name for j in find_junctions(Squared.from_config(config("llama"), "config"), head_apart=True)}
    assert len(found) == 5
    assert not any("up" in name for name in found)


def test_no_factor_moves_into_what_is_bounded() -> None:
    @dataclass(frozen=True)
    class Clamped(Llama):
        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            gate, up = (ops.linear(x, Weight(f"{layer}.{part}", (64, 32))) for part in ("gate", "up"))
            return ops.linear(ops.gated(gate, up, "clamped_silu"), Weight(f"{layer}.down", (32, 64)))

    found = {j.producer.name for j in find_junctions(Clamped.from_config(config("llama"), "config"), head_apart=True)}
    assert len(found) == 5
    assert not any("up" in name for name in found)


def test_junctions_across_attention_are_shown_to_whoever_asks() -> None:
    model = read_model(config("qwen2", tie_word_embeddings=False))
    without, with_values = (find_junctions(model, head_apart=True, values=values) for values in (False, True))
    assert with_values[: len(without)] == without
    across = with_values[len(without) :]
    assert [at.producer.name for at in across] == [f"model.layers.{layer}.self_attn.v_proj.weight" for layer in "01"]
    assert across[0].bias == Weight("model.layers.0.self_attn.v_proj.bias", (16,))
    assert [weight.name for weight in across[0].consumers] == ["model.layers.0.self_attn.o_proj.weight"]
    # Two heads of eight features, each read by two heads of queries.
    factors = np.arange(16.0)
    spread = across[0].at_consumers(factors)
    np.testing.assert_array_equal(spread, np.concatenate([factors[:8], factors[:8], factors[8:], factors[8:]]))
    np.testing.assert_array_equal(across[0].at_producer(spread), factors)
    np.testing.assert_array_equal(without[0].at_consumers(factors), factors)
