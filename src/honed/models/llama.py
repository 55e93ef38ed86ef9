"""Llama (Touvron et al. 2023; Llama 3, 2024) and what is built like it: SmolLM2, TinyLlama, Yi.

Pre-norm decoder, rotary positions, grouped query heads, gated MLP.
"""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, gated_mlp, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass


@dataclass(frozen=True)
class Llama(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool
    mlp_bias: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Llama:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
            mlp_bias=fields.boolean("mlp_bias", default=False),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.config.dimensions.head_dim, self.attention_bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config, bias=self.mlp_bias)


GGUF_INTERLEAVED = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
"""llama.cpp's converter of this architecture puts the halves of a rotated pair next to each other."""
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}

FAMILY = Family(
    model_type="llama",
    class_name="LlamaForCausalLM",
    read=Llama.from_config,
    covers="Llama 2 and 3, TinyLlama, SmolLM2, Falcon 3, Yi, DeepSeek-R1-Distill-Llama",
    samples=(
        {},
        {"rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
        {"head_dim": 24, "num_key_value_heads": 1, "rope_parameters": YARN_ROPE},
    ),
    gguf=GgufNames("llama", GGUF_TENSORS, GGUF_LAYER_TENSORS, GGUF_INTERLEAVED),
)
