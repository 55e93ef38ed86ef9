"""Qwen2 and Qwen2.5 (Yang et al. 2024): a Llama with biases on q, k and v; upper layers may slide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from honed.models.base import Config, Dimensions
from honed.models.config import DecoderConfig, Fields, read_decoder, read_layer_windows
from honed.models.layers import embedding_table, gated_mlp, head, list_weights, project
from honed.models.rope_scaling import read_rotary
from honed.ops.table import Ops, Rotary, Weight
from honed.records import dataclass

Value = TypeVar("Value")


@dataclass(frozen=True)
class Qwen2:
    config: DecoderConfig
    rotary: Rotary
    windows: tuple[int | None, ...]

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Qwen2:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            windows=read_layer_windows(fields, config.dimensions.layers),
        )

    def attention(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        size = self.config.dimensions
        hidden, head_dim = self.config.hidden, size.head_dim
        queries, keys = size.heads * head_dim, size.kv_heads * head_dim
        name = f"model.layers.{layer}.self_attn"
        q = project(ops, x, f"{name}.q_proj", inputs=hidden, outputs=queries, bias=True)
        k = project(ops, x, f"{name}.k_proj", inputs=hidden, outputs=keys, bias=True)
        v = project(ops, x, f"{name}.v_proj", inputs=hidden, outputs=keys, bias=True)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, layer=layer, head_dim=head_dim, scale=head_dim**-0.5, window=self.windows[layer])
        return project(ops, mixed, f"{name}.o_proj", inputs=queries, outputs=hidden)

    def mlp(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config)

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
