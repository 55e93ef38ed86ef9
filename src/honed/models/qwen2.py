"""Qwen2 and Qwen2.5 (Yang et al. 2024): a Llama with biases on q, k and v; upper layers may slide."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder, read_layer_windows
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass


@dataclass(frozen=True)
class Qwen2(BlockDecoder):
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

    @property
    def qkv_bias(self) -> bool:
        return True

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim = self.config.dimensions.head_dim
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=self.qkv_bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.windows[layer]), cache=layer)
        return project_out(ops, mixed, name, self.config)


FAMILY = Family(
    model_type="qwen2",
    class_name="Qwen2ForCausalLM",
    read=Qwen2.from_config,
    covers="Qwen2, Qwen2.5, QwQ, DeepSeek-R1-Distill-Qwen",
    samples=(
        {"tie_word_embeddings": True},
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    gguf=GgufNames("qwen2", GGUF_TENSORS, GGUF_LAYER_TENSORS),
)
