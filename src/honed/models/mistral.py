"""Mistral (Jiang et al. 2023): a Llama whose attention sees a sliding window of keys in every layer."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.llama import GGUF_INTERLEAVED
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass


@dataclass(frozen=True)
class Mistral(BlockDecoder):
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

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim = self.config.dimensions.head_dim
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.window), cache=layer)
        return project_out(ops, mixed, name, self.config)


FAMILY = Family(
    model_type="mistral",
    class_name="MistralForCausalLM",
    read=Mistral.from_config,
    covers="Mistral 7B, Mistral Nemo, Mistral Small, Zephyr",
    samples=({"sliding_window": 7}, {"sliding_window": None, "head_dim": 24}),
    # Files of a Mistral say that they are of a llama; with a window in all layers they are of nothing else.
    gguf=GgufNames("llama", GGUF_TENSORS, GGUF_LAYER_TENSORS, GGUF_INTERLEAVED, windowed=True),
)
