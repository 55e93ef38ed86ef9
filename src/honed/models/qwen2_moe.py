"""Qwen2-MoE (Yang et al. 2024): a Qwen2 whose MLPs are mixtures of experts, beside one that every row goes through."""

from __future__ import annotations

from pathlib import Path

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import MAX_WIDTH, Fields, read_decoder, read_layer_windows
from honed.models.experts import (
    EXPERT_GGUF_TENSORS,
    SAMPLE_EXPERTS,
    Experts,
    expert_mlp,
    in_gguf,
    listed,
    read_experts,
    read_scoring,
    read_sparse_layers,
)
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufExperts, GgufNames
from honed.models.layers import gated_mlp, project
from honed.models.qwen2 import Qwen2
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.records import dataclass


@dataclass(frozen=True)
class Qwen2Moe(Qwen2):
    experts: Experts
    sparse: tuple[bool, ...]
    shared: int
    """Inner features of the MLP that every row goes through."""
    biased: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Qwen2Moe:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True)
        layers = config.dimensions.layers
        if fields.boolean("use_sliding_window", default=False) and values.get("layer_types") is None:
            raise UnsupportedError(
                f"{source}: use_sliding_window is true without layer_types, and versions of transformers differ in the "
                "layers that slide then; name each layer in layer_types"
            )
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            windows=read_layer_windows(fields, layers),
            experts=read_experts(
                fields, count="num_experts", inner="moe_intermediate_size", scoring=read_scoring(fields)
            ),
            sparse=read_sparse_layers(fields, layers),
            shared=fields.integer("shared_expert_intermediate_size", 1, MAX_WIDTH),
            biased=fields.boolean("qkv_bias", default=True),
        )

    @property
    def qkv_bias(self) -> bool:
        return self.biased

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        name = f"model.layers.{layer}.mlp"
        if not self.sparse[layer]:
            return gated_mlp(ops, x, name, self.config)
        routed = expert_mlp(ops, x, self.config, self.experts, router=f"{name}.gate", name=listed(f"{name}.experts"))
        return ops.add(routed, self.shared_mlp(ops, x, name))

    def shared_mlp(self, ops: Recorder, x: Node, name: str) -> Node:
        """Counts as much as the sigmoid of a score of its own: a mixture of one."""
        score = project(ops, x, f"{name}.shared_expert_gate", inputs=self.config.hidden, outputs=1)
        given = gated_mlp(ops, x, f"{name}.shared_expert", self.config, inner=self.shared)
        return ops.combine(given, ops.route(score, 1, "sigmoid"))


_GGUF_SHARED = {
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}

FAMILY = Family(
    model_type="qwen2_moe",
    class_name="Qwen2MoeForCausalLM",
    read=Qwen2Moe.from_config,
    covers="Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B",
    samples=(
        {**SAMPLE_EXPERTS, "shared_expert_intermediate_size": 64},
        {
            **SAMPLE_EXPERTS,
            "shared_expert_intermediate_size": 36,
            "norm_topk_prob": True,
            "qkv_bias": False,
            "decoder_sparse_step": 2,
        },
    ),
    own_fields=frozenset(("num_experts", "num_local_experts")),
    gguf=GgufNames(
        "qwen2moe",
        GGUF_TENSORS,
        {**GGUF_LAYER_TENSORS, **EXPERT_GGUF_TENSORS, **_GGUF_SHARED},
        own_config=lambda config, _: {"qkv_bias": config["attention_bias"]},
        stored=lambda model: in_gguf(model.config, model.experts, model.sparse),
        experts=GgufExperts(
            "num_experts",
            "moe_intermediate_size",
            normed=False,
            normed_field="norm_topk_prob",
            shared="shared_expert_intermediate_size",
        ),
    ),
)
