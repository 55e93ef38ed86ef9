"""What reads and writes the residual stream is found, and what must not be turned is named."""

from __future__ import annotations

from typing import Any

import pytest

from honed.compress.residual_stream import find_residual_stream
from honed.errors import UnsupportedError
from honed.models.llama import Llama
from honed.models.registry import read_any, read_model
from honed.ops.record import Node, Recorder
from honed.records import dataclass
from tiny_models import tiny_config
from unknown_op import odd_model


def test_all_of_a_llama_but_what_lies_inside_of_heads_and_mlp() -> None:
    model = read_model(tiny_config("smollm2"))
    found = find_residual_stream(model)
    assert (found.width, found.centered) == (54, False)
    assert [table.name for table in found.tables] == ["model.embed_tokens.weight"]
    layers = [f"model.layers.{layer}" for layer in range(2)]
    expected = {
        f"{layer}.{norm}.weight": {f"{layer}.{part}_proj.weight" for part in parts}
        for layer in layers
        for norm, parts in {
            "input_layernorm": ("self_attn.q", "self_attn.k", "self_attn.v"),
            "post_attention_layernorm": ("mlp.gate", "mlp.up"),
        }.items()
    }
    expected["model.norm.weight"] = {"model.embed_tokens.weight"}  # the tied head
    by_norm: dict[str, set[str]] = {}
    for reader in found.readers:
        by_norm.setdefault(reader.norm.name, set()).add(reader.layer.weight.name)
    assert by_norm == expected
    assert {norm.name for norm in found.norms} == set(expected)
    assert [writer.weight.name for writer in found.writers] == [
        f"{layer}.{part}.weight" for layer in layers for part in ("self_attn.o_proj", "mlp.down_proj")
    ]


def test_experts_and_their_router_read_and_experts_write() -> None:
    found = find_residual_stream(read_model(tiny_config("qwen2_moe")))
    readers = {reader.layer.weight.name for reader in found.readers}
    writers = {writer.weight.name for writer in found.writers}
    mlp = "model.layers.0.mlp"
    assert {f"{mlp}.gate.weight", f"{mlp}.experts.5.up_proj.weight", f"{mlp}.shared_expert_gate.weight"} <= readers
    assert {f"{mlp}.experts.5.down_proj.weight", f"{mlp}.shared_expert.down_proj.weight"} <= writers
    assert not readers & writers


def test_factors_on_the_way_to_a_reader_are_multiplied() -> None:
    config = tiny_config("granite")
    factors = {reader.layer.weight.name: reader.factor for reader in find_residual_stream(read_model(config)).readers}
    assert factors.pop("lm_head.weight") == 1 / 8
    assert set(factors.values()) == {1.0}


def test_what_a_norm_adds_stays_where_a_reader_has_no_bias() -> None:
    found = find_residual_stream(read_model(tiny_config("gpt2")))
    assert found.centered
    kept = {shift.name for shift in found.shifts if found.keeps(shift)}
    assert kept == {"transformer.ln_f.bias"}
    assert len(found.shifts) == 5
    assert len(found.tables) == 2


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("gemma2", r"RmsNorm model.layers.0.post_attention_layernorm.weight: stands between a linear layer and the"),
        ("glm4", r"RmsNorm model.layers.0.post_self_attn_layernorm.weight: stands between"),
        ("olmo2", r"Linear model.layers.0.self_attn.q_proj.weight: reads the residual stream without a norm"),
        ("opt_350m", r"Linear model.decoder.project_in.weight: reads the residual stream without a norm"),
    ],
)
def test_what_is_in_the_way_is_named(family: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        find_residual_stream(read_model(tiny_config(family)))


def test_an_encoder_whose_rows_are_added_behind_a_norm_is_refused() -> None:
    config: dict[str, Any] = {
        "model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }  # fmt: skip
    with pytest.raises(UnsupportedError, match="Add: reads what a norm makes of the residual stream"):
        find_residual_stream(read_any(config))


def test_an_op_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"Unknown unknown.weight: reads what a norm makes of the residual"):
        find_residual_stream(odd_model())


def test_a_weight_that_is_used_twice_is_refused() -> None:
    @dataclass(frozen=True)
    class Shared(Llama):
        def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
            return super().mlp(ops, x, 0)

    with pytest.raises(UnsupportedError, match=r"model.layers.0.mlp.gate_proj.weight: is used 2 times"):
        find_residual_stream(Shared.from_config(tiny_config("llama2"), "config"))


def test_what_is_added_and_read_elsewhere_is_refused() -> None:
    @dataclass(frozen=True)
    class Twice(Llama):
        def block(self, ops: Recorder, x: Node, layer: int) -> Node:
            given = self.mlp(ops, self.norm(ops, x, layer, "input_layernorm"), layer)
            return ops.add(ops.add(x, given), given)

    with pytest.raises(
        UnsupportedError, match=r"down_proj.weight: is added to the residual stream, and read elsewhere"
    ):
        find_residual_stream(Twice.from_config(tiny_config("llama2"), "config"))
