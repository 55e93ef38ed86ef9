"""Qwen3 (Yang et al. 2025): a Llama with an RMS norm on each head of q and k, and heads of their own width."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder, read_layer_windows
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Qwen3(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool
    windows: tuple[int | None, ...]

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Qwen3:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, head_dim=128)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
            windows=read_layer_windows(fields, config.dimensions.layers),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.config.dimensions.head_dim, self.attention_bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rms_norm(q, Weight(f"{name}.q_norm.weight", (head_dim,)), self.config.eps)
        k = ops.rms_norm(k, Weight(f"{name}.k_norm.weight", (head_dim,)), self.config.eps)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.windows[layer]), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)


GGUF_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}

FAMILY = Family(
    model_type="qwen3",
    class_name="Qwen3ForCausalLM",
    read=Qwen3.from_config,
    covers="Qwen3 (dense), 0.6B to 32B",
    samples=({"head_dim": 16}, {"head_dim": 24, "tie_word_embeddings": True, "attention_bias": True}),
    gguf=GgufNames("qwen3", GGUF_TENSORS, {**GGUF_LAYER_TENSORS, **GGUF_NORMS}),
)
