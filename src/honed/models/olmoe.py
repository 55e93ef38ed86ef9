"""OLMoE (Muennighoff et al. 2024): a Llama with an RMS norm over all heads of q and of k, and mixtures of experts."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.experts import (
    EXPERT_GGUF_TENSORS,
    Experts,
    expert_mlp,
    in_gguf,
    listed,
    read_experts,
    read_scoring,
)
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufExperts, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.qwen3 import GGUF_NORMS
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Olmoe(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool
    experts: Experts

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Olmoe:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True, eps=1e-5)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
            experts=read_experts(fields, count="num_experts", inner="intermediate_size", scoring=read_scoring(fields)),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        size, bias = self.config.dimensions, self.attention_bias
        head_dim = size.head_dim
        queries, keys = size.heads * head_dim, size.kv_heads * head_dim
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rms_norm(q, Weight(f"{name}.q_norm.weight", (queries,)), self.config.eps)
        k = ops.rms_norm(k, Weight(f"{name}.k_norm.weight", (keys,)), self.config.eps)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        name = f"model.layers.{layer}.mlp"
        return expert_mlp(ops, x, self.config, self.experts, router=f"{name}.gate", name=listed(f"{name}.experts"))


def _in_gguf(model: Olmoe) -> Forms:
    return in_gguf(model.config, model.experts, (True,) * model.config.dimensions.layers)


FAMILY = Family(
    model_type="olmoe",
    class_name="OlmoeForCausalLM",
    read=Olmoe.from_config,
    covers="OLMoE 1B-7B",
    samples=(
        {"num_experts": 4, "num_experts_per_tok": 2},
        {"num_experts": 5, "num_experts_per_tok": 3, "norm_topk_prob": True, "attention_bias": True},
    ),
    own_fields=frozenset(("num_experts", "num_local_experts")),
    gguf=GgufNames(
        "olmoe",
        GGUF_TENSORS,
        {**GGUF_LAYER_TENSORS, **GGUF_NORMS, **EXPERT_GGUF_TENSORS},
        stored=_in_gguf,
        experts=GgufExperts("num_experts", "intermediate_size", normed=False, normed_field="norm_topk_prob"),
    ),
)
