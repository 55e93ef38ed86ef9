"""SmolLM3 (Bakouch et al. 2025): a Llama in which some layers, by default every fourth, rotate nothing (Yang et al.
2025)."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import (
    MAX_CONTEXT,
    MAX_LAYERS,
    DecoderConfig,
    Fields,
    read_decoder,
    read_layer_windows,
    with_defaults,
)
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, gated_mlp, project_out, project_qkv
from honed.models.llama import GGUF_INTERLEAVED
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass


@dataclass(frozen=True)
class SmolLm3(BlockDecoder):
    """rotated, windows: of each layer whether q and k turn, and its sliding window."""

    config: DecoderConfig
    rotary: Rotary
    rotated: tuple[bool, ...]
    windows: tuple[int | None, ...]
    attention_bias: bool
    mlp_bias: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> SmolLm3:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = with_defaults(Fields(values, source), {"rope_theta": 2000000.0})
        config = read_decoder(fields, kv_heads_default=True, tied=True)
        rotated = _rotated(fields, config.dimensions.layers)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            rotated=rotated,
            windows=_windows(fields, rotated),
            attention_bias=fields.boolean("attention_bias", default=False),
            mlp_bias=fields.boolean("mlp_bias", default=False),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.config.dimensions.head_dim, self.attention_bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        if self.rotated[layer]:
            q = ops.rope(q, self.rotary, head_dim)
            k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.windows[layer]), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        return gated_mlp(ops, x, f"model.layers.{layer}.mlp", self.config, bias=self.mlp_bias)


def _rotated(fields: Fields, layers: int) -> tuple[bool, ...]:
    """no_rope_layers has a 1 for each layer that rotates, contrary to its name; without it every n-th does not."""
    given = fields.values.get("no_rope_layers")
    if given is None:
        interval = fields.integer("no_rope_layer_interval", 1, MAX_LAYERS, default=4)
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    if not isinstance(given, list | tuple) or len(given) != layers or any(flag not in (0, 1) for flag in given):
        raise fields.wrong("no_rope_layers", f"must be 0 or 1 for each of num_hidden_layers {layers}")
    return tuple(bool(flag) for flag in given)


def _windows(fields: Fields, rotated: tuple[bool, ...]) -> tuple[int | None, ...]:
    """Where the config slides and does not say which layers do, it is those that do not rotate."""
    slides = fields.boolean("use_sliding_window", default=False) and fields.values.get("sliding_window") is not None
    if fields.values.get("layer_types") is None and slides:
        window = fields.integer("sliding_window", 1, MAX_CONTEXT)
        return tuple(None if turns else window for turns in rotated)
    return read_layer_windows(fields, len(rotated))


FAMILY = Family(
    model_type="smollm3",
    class_name="SmolLM3ForCausalLM",
    read=SmolLm3.from_config,
    covers="SmolLM3",
    samples=(
        {"num_hidden_layers": 5},
        {
            "no_rope_layer_interval": 2,
            "use_sliding_window": True,
            "sliding_window": 6,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": False,
        },
    ),
    gguf=GgufNames("smollm3", GGUF_TENSORS, GGUF_LAYER_TENSORS, GGUF_INTERLEAVED),
    ties=True,
    own_fields=frozenset({"no_rope_layers", "no_rope_layer_interval"}),
)
