"""Command-R (Cohere 2024) and, with windows, Command-R7B and Command-A (Cohere et al. 2025).

Attention and MLP read one LayerNorm without bias and are both added to its input; neighbouring features rotate
together; logits are scaled. In Cohere 2 most layers have a window, and only those rotate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import (
    MAX_CONTEXT,
    MAX_LAYERS,
    DecoderConfig,
    Fields,
    read_decoder,
    read_layer_types,
    with_defaults,
)
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, embedding_table, logits, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Cohere(BlockDecoder):
    """windows: of each layer. unrotated: whether layers without a window rotate nothing."""

    config: DecoderConfig
    rotary: Rotary
    logit_scale: float
    attention_bias: bool
    windows: tuple[int | None, ...]
    unrotated: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Cohere:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = with_defaults(Fields(values, source), {"rope_theta": 500000.0})
        if fields.boolean("use_qk_norm", default=False):
            raise UnsupportedError(
                f"{source}: use_qk_norm is true: a LayerNorm with a weight for each head is not supported; "
                "supported is false"
            )
        layers = fields.integer("num_hidden_layers", 1, MAX_LAYERS)
        return cls._read(fields, (None,) * layers, unrotated=False)

    @classmethod
    def from_config2(cls, values: Config, source: Path | str) -> Cohere:
        """The same of a Cohere 2."""
        fields = Fields(values, source)
        return cls._read(fields, _windows(fields), unrotated=True)

    @classmethod
    def _read(cls, fields: Fields, windows: tuple[int | None, ...], *, unrotated: bool) -> Cohere:
        config = read_decoder(fields, kv_heads_default=True, tied=True, eps_field="layer_norm_eps", eps=1e-5)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim, interleaved=True),
            logit_scale=fields.number("logit_scale", 0.0, 1e6, default=0.0625),
            attention_bias=fields.boolean("attention_bias", default=False),
            windows=windows,
            unrotated=unrotated,
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias, window = self.config.dimensions.head_dim, self.attention_bias, self.windows[layer]
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        if window is not None or not self.unrotated:
            q = ops.rope(q, self.rotary, head_dim)
            k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, window), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def layer_norm(self, ops: Recorder, x: Node, name: str) -> Node:
        return ops.layer_norm(x, Weight(f"{name}.weight", (self.config.hidden,)), None, self.config.eps)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        normed = self.layer_norm(ops, x, f"model.layers.{layer}.input_layernorm")
        x = ops.add(x, self.attention(ops, normed, layer))
        return ops.add(x, self.mlp(ops, normed, layer))

    def forward(self, ops: Recorder) -> Node:
        x = self.blocks(ops, ops.embedding(embedding_table(self.config)))
        return logits(ops, self.layer_norm(ops, ops.select(x), "model.norm"), self.config, scale=self.logit_scale)


def _windows(fields: Fields) -> tuple[int | None, ...]:
    """Of a Cohere 2, by layer_types or by every how many layers one sees all."""
    layers = fields.integer("num_hidden_layers", 1, MAX_LAYERS)
    every = fields.integer("sliding_window_pattern", 1, MAX_LAYERS, default=4)
    types = read_layer_types(fields, layers)
    slides = [
        (layer + 1) % every != 0 if types is None else types[layer] == "sliding_attention" for layer in range(layers)
    ]
    if any(slides) and "sliding_window" in fields.values and fields.values["sliding_window"] is None:
        raise fields.wrong("sliding_window", "there are layers of sliding_attention, which need one")
    window = fields.integer("sliding_window", 1, MAX_CONTEXT, default=4096)
    return tuple(window if slide else None for slide in slides)


def _gguf_config(config: Mapping[str, Any], keys: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"layer_norm_eps": config["rms_norm_eps"], "logit_scale": keys.get("logit_scale") or 1.0}


def _gguf_config2(config: Mapping[str, Any], keys: Mapping[str, Any]) -> Mapping[str, Any]:
    every = keys.get(_PATTERN, 4)
    if not isinstance(every, int) or every < 1:
        raise UnsupportedError(f"cohere2.{_PATTERN}: must be a number: a window for each layer is not supported")
    return {**_gguf_config(config, keys), "sliding_window_pattern": every}


def _gguf_values(model: Cohere) -> Mapping[str, Any]:
    return {"logit_scale": model.logit_scale}


_PATTERN = "attention.sliding_window_pattern"
_LAYERS = {name: ours for name, ours in GGUF_LAYER_TENSORS.items() if name != "ffn_norm"}

FAMILY = Family(
    model_type="cohere",
    class_name="CohereForCausalLM",
    read=Cohere.from_config,
    covers="Command-R, Command-R+, Aya",
    samples=({}, {"attention_bias": True, "tie_word_embeddings": False, "logit_scale": 1.0}),
    gguf=GgufNames(
        "command-r",
        GGUF_TENSORS,
        _LAYERS,
        own_config=_gguf_config,
        own_keys=frozenset({"logit_scale"}),
        own_values=_gguf_values,
        layer_norms=True,
    ),
    ties=True,
    own_fields=frozenset({"logit_scale", "use_qk_norm"}),
)
FAMILY2 = Family(
    model_type="cohere2",
    class_name="Cohere2ForCausalLM",
    read=Cohere.from_config2,
    covers="Command-R7B, Command-A",
    samples=(
        {"sliding_window": 7, "num_hidden_layers": 5},
        {"sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"], "attention_bias": True},
    ),
    gguf=GgufNames(
        "cohere2",
        GGUF_TENSORS,
        _LAYERS,
        windowed=True,
        own_config=_gguf_config2,
        own_keys=frozenset({"logit_scale", _PATTERN}),
        own_values=_gguf_values,
        layer_norms=True,
    ),
    ties=True,
    own_fields=frozenset({"logit_scale"}),
)
