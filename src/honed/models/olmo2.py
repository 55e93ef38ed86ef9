"""OLMo 2 (OLMo et al. 2025): a Llama whose norms stand behind attention and MLP, inside the residual, and that
normalizes the whole of q and of k."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Olmo2(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Olmo2:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True, eps=1e-5)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
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

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        x = ops.add(x, self.norm(ops, self.attention(ops, x, layer), layer, "post_attention_layernorm"))
        return ops.add(x, self.norm(ops, self.mlp(ops, x, layer), layer, "post_feedforward_layernorm"))


_BEFORE = ("attn_norm", "ffn_norm")
GGUF_LAYERS = {name: ours for name, ours in GGUF_LAYER_TENSORS.items() if name not in _BEFORE} | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}

FAMILY = Family(
    model_type="olmo2",
    class_name="Olmo2ForCausalLM",
    read=Olmo2.from_config,
    covers="OLMo 2",
    samples=({}, {"attention_bias": True, "num_key_value_heads": 4, "tie_word_embeddings": True}),
    gguf=GgufNames("olmo2", GGUF_TENSORS, GGUF_LAYERS),
)
