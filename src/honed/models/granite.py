"""Granite (Mishra et al. 2024; Granite 3, 2024): a Llama whose embedding, scores, residuals and logits are scaled, as
in maximal update parametrization (Yang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, embedding_table, gated_mlp, head, project_out, project_qkv
from honed.models.llama import GGUF_INTERLEAVED
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass

_MULTIPLES = {
    "embedding_multiplier": 12.0,
    "attention_multiplier": 0.0625,
    "residual_multiplier": 0.22,
    "logits_scaling": 8.0,
}
"""Of the samples."""


@dataclass(frozen=True)
class Multipliers:
    """What rows of the embedding, scores and what a block adds are multiplied by, and logits divided by."""

    embedding: float
    attention: float
    residual: float
    logits: float

    @classmethod
    def from_config(cls, fields: Fields) -> Multipliers:
        def read(name: str) -> float:
            return fields.number(name, 0.0, 1e6, default=1.0)

        return cls(
            embedding=read("embedding_multiplier"),
            attention=read("attention_multiplier"),
            residual=read("residual_multiplier"),
            logits=read("logits_scaling"),
        )


class HasMultipliers(Protocol):
    """A model of one of the families that have them."""

    @property
    def multipliers(self) -> Multipliers: ...


@dataclass(frozen=True)
class Granite(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    multipliers: Multipliers
    attention_bias: bool
    mlp_bias: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Granite:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            multipliers=Multipliers.from_config(fields),
            attention_bias=fields.boolean("attention_bias", default=False),
            mlp_bias=fields.boolean("mlp_bias", default=False),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.config.dimensions.head_dim, self.attention_bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        spec = replace(causal(head_dim), scale=self.multipliers.attention)
        mixed = ops.attention(q, k, v, spec, cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config, bias=self.mlp_bias)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        factor = self.multipliers.residual
        normed = self.norm(ops, x, layer, "input_layernorm")
        x = ops.add(x, ops.scale(self.attention(ops, normed, layer), factor))
        normed = self.norm(ops, x, layer, "post_attention_layernorm")
        return ops.add(x, ops.scale(self.mlp(ops, normed, layer), factor))

    def forward(self, ops: Recorder) -> Node:
        x = ops.scale(ops.embedding(embedding_table(self.config)), self.multipliers.embedding)
        return head(ops, self.blocks(ops, x), self.config, scale=1 / self.multipliers.logits)


def gguf_config(config: Mapping[str, Any], keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """llama.cpp takes 0 for a scale that is not set, and for scores one over the root of the head width then."""
    if keys.get("rope.scaling.finetuned") is False:
        raise UnsupportedError("granite.rope.scaling.finetuned is false: layers that rotate nothing are not supported")
    return {
        "embedding_multiplier": keys.get("embedding_scale") or 1.0,
        "residual_multiplier": keys.get("residual_scale") or 1.0,
        "logits_scaling": keys.get("logit_scale") or 1.0,
        "attention_multiplier": keys.get("attention.scale") or config["head_dim"] ** -0.5,
    }


def gguf_values(model: HasMultipliers) -> Mapping[str, Any]:
    """What `gguf_config` reads, of this family and of Granite with experts."""
    found = model.multipliers
    return {
        "embedding_scale": found.embedding,
        "residual_scale": found.residual,
        "logit_scale": found.logits,
        "attention.scale": found.attention,
    }


GGUF_KEYS = frozenset({"embedding_scale", "residual_scale", "logit_scale", "attention.scale"})

FAMILY = Family(
    model_type="granite",
    class_name="GraniteForCausalLM",
    read=Granite.from_config,
    covers="Granite 3 (dense)",
    samples=(_MULTIPLES, {**_MULTIPLES, "attention_bias": True, "tie_word_embeddings": True}),
    gguf=GgufNames(
        "granite",
        GGUF_TENSORS,
        GGUF_LAYER_TENSORS,
        GGUF_INTERLEAVED,
        own_config=gguf_config,
        own_keys=GGUF_KEYS,
        own_values=gguf_values,
    ),
    own_fields=frozenset({"embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"}),
)
