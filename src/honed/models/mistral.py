"""Mistral (Jiang et al. 2023): a Llama whose attention sees a sliding window of keys in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from honed.models.base import Config, Dimensions
from honed.models.config import MAX_CONTEXT, DecoderConfig, Fields, read_decoder
from honed.models.layers import embedding_table, gated_mlp, head, list_weights, project
from honed.models.rope_scaling import read_rotary
from honed.ops.table import Ops, Rotary, Weight
from honed.records import dataclass

Value = TypeVar("Value")


@dataclass(frozen=True)
class Mistral:
    config: DecoderConfig
    rotary: Rotary
    window: int | None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Mistral:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields)
        # Left out means the 4096 of the first release; later releases write null for full attention.
        full = "sliding_window" in values and values["sliding_window"] is None
        window = None if full else fields.integer("sliding_window", 1, MAX_CONTEXT, default=4096)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            window=window,
        )

    def attention(self, ops: Ops[Value], x: Value, layer: int) -> Value:
        size = self.config.dimensions
        hidden, head_dim = self.config.hidden, size.head_dim
        queries, keys = size.heads * head_dim, size.kv_heads * head_dim
        name = f"model.layers.{layer}.self_attn"
        q = project(ops, x, f"{name}.q_proj", inputs=hidden, outputs=queries)
        k = project(ops, x, f"{name}.k_proj", inputs=hidden, outputs=keys)
        v = project(ops, x, f"{name}.v_proj", inputs=hidden, outputs=keys)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, layer=layer, head_dim=head_dim, scale=head_dim**-0.5, window=self.window)
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
