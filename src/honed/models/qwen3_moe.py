"""Qwen3-MoE (Yang et al. 2025): a Qwen3 whose MLPs, in all layers or in some, are mixtures of experts."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, Fields, read_decoder
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
from honed.models.layers import gated_mlp
from honed.models.qwen3 import GGUF_NORMS, Qwen3
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.records import dataclass


@dataclass(frozen=True)
class Qwen3Moe(Qwen3):
    experts: Experts
    sparse: tuple[bool, ...]

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Qwen3Moe:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields)
        layers = config.dimensions.layers
        sliding = fields.boolean("use_sliding_window", default=False) and values.get("sliding_window") is not None
        window = fields.integer("sliding_window", 1, MAX_CONTEXT) if sliding else None
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
            windows=(window,) * layers,
            experts=read_experts(
                fields, count="num_experts", inner="moe_intermediate_size", scoring=read_scoring(fields)
            ),
            sparse=read_sparse_layers(fields, layers),
        )

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        name = f"model.layers.{layer}.mlp"
        if not self.sparse[layer]:
            return gated_mlp(ops, x, name, self.config)
        return expert_mlp(ops, x, self.config, self.experts, router=f"{name}.gate", name=listed(f"{name}.experts"))


FAMILY = Family(
    model_type="qwen3_moe",
    class_name="Qwen3MoeForCausalLM",
    read=Qwen3Moe.from_config,
    covers="Qwen3-30B-A3B, Qwen3-235B-A22B",
    samples=(
        {**SAMPLE_EXPERTS, "head_dim": 16, "norm_topk_prob": True},
        {**SAMPLE_EXPERTS, "head_dim": 24, "mlp_only_layers": [0], "attention_bias": True, "tie_word_embeddings": True},
    ),
    own_fields=frozenset(("num_experts", "num_local_experts")),
    gguf=GgufNames(
        "qwen3moe",
        GGUF_TENSORS,
        {**GGUF_LAYER_TENSORS, **GGUF_NORMS, **EXPERT_GGUF_TENSORS},
        stored=lambda model: in_gguf(model.config, model.experts, model.sparse),
        experts=GgufExperts("num_experts", "moe_intermediate_size", normed=True, normed_field="norm_topk_prob"),
    ),
)
