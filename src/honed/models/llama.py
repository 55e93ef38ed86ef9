"""Llama (Touvron et al. 2023; Llama 3, 2024) and what is built like it: SmolLM2, TinyLlama, Yi.

Pre-norm decoder, rotary positions, grouped query heads, gated MLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from honed.models.base import Config, Dimensions
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.layers import embedding_table, gated_mlp, head, list_weights, project
from honed.models.rope_scaling import read_rotary
from honed.ops.table import Ops, Rotary, Weight
from honed.records import dataclass

Value = TypeVar("Value")


@dataclass(frozen=True)
class Llama:
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

    def attention(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        size, bias = self.config.dimensions, self.attention_bias
        hidden, head_dim = self.config.hidden, size.head_dim
        queries, keys = size.heads * head_dim, size.kv_heads * head_dim
        name = f"model.layers.{layer}.self_attn"
        q = project(ops, x, f"{name}.q_proj", inputs=hidden, outputs=queries, bias=bias)
        k = project(ops, x, f"{name}.k_proj", inputs=hidden, outputs=keys, bias=bias)
        v = project(ops, x, f"{name}.v_proj", inputs=hidden, outputs=keys, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, layer=layer, head_dim=head_dim, scale=head_dim**-0.5)
        return project(ops, mixed, f"{name}.o_proj", inputs=queries, outputs=hidden, bias=bias)

    def mlp(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config, bias=self.mlp_bias)

    def block(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        name, shape = f"model.layers.{layer}", (self.config.hidden,)
        normed = ops.rms_norm(x, Weight(f"{name}.input_layernorm.weight", shape), self.config.eps)
        x = ops.add(x, self.attention(ops, normed, layer))
        normed = ops.rms_norm(x, Weight(f"{name}.post_attention_layernorm.weight", shape), self.config.eps)
        return ops.add(x, self.mlp(ops, normed, layer))

    def forward(self, ops: Ops[Value]) -> Value:
        x = ops.embedding(embedding_table(self.config))
        for layer in range(self.config.dimensions.layers):
            x = self.block(ops, x, layer)
        return head(ops, x, self.config)

    @property
    def dimensions(self) -> Dimensions:
        return self.config.dimensions

    def weights(self) -> Mapping[str, Weight]:
        return list_weights(self)
