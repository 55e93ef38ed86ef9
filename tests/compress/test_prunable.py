"""Neurons and heads as they are read off graphs: of every family what may go, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from honed.compress.prunable import find_heads, find_neurons
from honed.models.programs import step
from honed.models.recorded import list_weights
from honed.models.registry import read_any
from honed.ops.record import Node, Recorder
from honed.ops.values import AttentionSpec, Weight
from honed.records import dataclass
from pruned_models import CONFIGS

GATED = ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight")


def named(config: dict[str, Any], place: int) -> set[str]:
    units = find_neurons(read_any(config))[place]
    return set(units.names)


def test_neurons_of_a_gated_mlp_are_rows_of_two_matrices_and_columns_of_one() -> None:
    model = read_any(CONFIGS["llama-0"])
    found = find_neurons(model)
    assert [set(units.names) for units in found] == [{f"model.layers.{n}.{name}" for name in GATED} for n in (0, 1)]
    assert all(units.count == 96 and units.columns == 1 and set(units.rows.values()) == {1} for units in found)
    assert found[1].consumer.name == "model.layers.1.mlp.down_proj.weight"


def test_biases_of_rows_go_along_and_that_of_the_reader_stays() -> None:
    prefix = "model.layers.0.mlp"
    assert named(CONFIGS["llama-1"], 0) == {
        *(f"model.layers.0.{name}" for name in GATED), f"{prefix}.gate_proj.bias", f"{prefix}.up_proj.bias",
    }  # fmt: skip
    prefix = "model.decoder.layers.1"
    assert named(CONFIGS["opt-0"], 1) == {f"{prefix}.fc1.weight", f"{prefix}.fc1.bias", f"{prefix}.fc2.weight"}


def test_an_encoder_has_those_of_its_layers_and_none_of_its_pooler() -> None:
    found = find_neurons(read_any({**CONFIGS["bert-0"], "add_pooling_layer": True}))
    assert [units.consumer.name for units in found] == [f"encoder.layer.{n}.output.dense.weight" for n in (0, 1)]


def test_experts_and_what_no_activation_stands_before_have_none() -> None:
    assert find_neurons(read_any(CONFIGS["mixtral-0"])) == ()
    assert {units.count for units in find_neurons(read_any(CONFIGS["glm4-0"]))} == {96}
    assert all("proj" in units.consumer.name for units in find_neurons(read_any(CONFIGS["gemma3_text-0"])))


def test_heads_go_with_the_keys_that_they_share() -> None:
    first, _ = find_heads(read_any(CONFIGS["llama-1"]))
    assert first.units is not None
    name = "model.layers.0.self_attn"
    assert first.units.rows == {
        f"{name}.q_proj.weight": 32, f"{name}.q_proj.bias": 32,
        f"{name}.k_proj.weight": 16, f"{name}.k_proj.bias": 16,
        f"{name}.v_proj.weight": 16, f"{name}.v_proj.bias": 16,
    }  # fmt: skip
    assert (first.units.count, first.of_group, first.width, first.units.columns) == (2, 2, 16, 32)
    assert first.units.consumer.name == f"{name}.o_proj.weight"


def test_norms_of_each_head_stay_and_sinks_go_along() -> None:
    (of_qwen, *_), (of_gpt_oss, *_) = (find_heads(read_any(CONFIGS[name])) for name in ("qwen3-0", "gpt_oss-0"))
    assert of_qwen.units is not None and of_gpt_oss.units is not None
    assert not any("norm" in name for name in of_qwen.units.names)
    assert of_gpt_oss.units.rows["model.layers.0.self_attn.sinks"] == 2


def test_a_norm_of_all_heads_ties_them() -> None:
    for heads in find_heads(read_any(CONFIGS["olmo2-0"])):
        assert heads.units is None
        assert heads.tied is not None and "q_norm.weight normalizes all heads together" in heads.tied


@dataclass(frozen=True)
class Odd:
    """Something of which each part is nearly prunable."""

    kind: str

    def forward(self, ops: Recorder) -> Node:
        x = ops.embedding(Weight("table", (10, 8)))
        wide = ops.activate(ops.linear(x, Weight("inner", (8, 8))), "relu")
        if self.kind == "read twice":
            x = ops.add(x, wide)
        if self.kind == "used twice":
            x = ops.linear(x, Weight("inner", (8, 8)))
        if self.kind == "normed":
            wide = ops.rms_norm(wide, Weight("norm", (8,)), 1e-6)
        if self.kind == "heads":
            x = ops.attention(x, x, x, AttentionSpec(4, 0.5), cache=0)
        return ops.select(ops.add(x, ops.linear(wide, Weight("outer", (8, 8)))))

    def programs(self) -> Any:
        return step(self.forward)

    def weights(self) -> Any:
        return list_weights(self)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["read twice", "used twice", "normed"])
def test_what_something_else_depends_on_stays(kind: str) -> None:
    assert find_neurons(Odd(kind)) == ()  # type: ignore[arg-type]
    assert len(find_neurons(Odd("plain"))) == 1  # type: ignore[arg-type]


def test_heads_without_a_linear_layer_of_their_own_stay() -> None:
    (found,) = find_heads(Odd("heads"))  # type: ignore[arg-type]
    assert found.units is None
    assert found.tied == "queries, keys or values are read by something else too"
