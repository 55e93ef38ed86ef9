"""StarCoder2 (Lozhkov et al. 2024): rotary positions, grouped query heads, LayerNorms, and an MLP without a gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, Fields
from honed.models.decoder import Decoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames, SizeFields
from honed.models.layers import EMBEDDING, causal, project_out, project_qkv
from honed.models.norm_decoder import NormDecoderConfig, NormDecoderNames, logits, mlp, norm, read_norm_decoder
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass

NAMES = NormDecoderNames(kv_heads="num_key_value_heads", eps="norm_epsilon")


@dataclass(frozen=True)
class Starcoder2(Decoder):
    config: NormDecoderConfig
    rotary: Rotary
    bias: bool
    window: int | None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Starcoder2:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_norm_decoder(fields, NAMES, activation="gelu_pytorch_tanh", tied=True, kv_heads=2)
        full = values.get("sliding_window") is None
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            bias=fields.boolean("use_bias", default=True),
            window=None if full else fields.integer("sliding_window", 1, MAX_CONTEXT),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.dimensions.head_dim, self.bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.window), cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        name, width, eps = f"model.layers.{layer}", self.config.hidden, self.config.eps
        x = ops.add(x, self.attention(ops, norm(ops, x, f"{name}.input_layernorm", width, eps), layer))
        normed = norm(ops, x, f"{name}.post_attention_layernorm", width, eps)
        return ops.add(x, mlp(ops, normed, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj", self.config, bias=self.bias))

    def forward(self, ops: Recorder) -> Node:
        config = self.config
        table = Weight(EMBEDDING, (self.dimensions.vocabulary, config.hidden))
        x = ops.embedding(table)
        for layer in range(self.dimensions.layers):
            x = self.block(ops, x, layer)
        normed = norm(ops, ops.select(x), "model.norm", config.hidden, config.eps)
        return logits(ops, normed, table, tied=config.tied)


def _gguf_config(common: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": common["rms_norm_eps"],
        "use_bias": common["attention_bias"],
    }


FAMILY = Family(
    model_type="starcoder2",
    class_name="Starcoder2ForCausalLM",
    read=Starcoder2.from_config,
    covers="StarCoder2",
    samples=(
        {},
        {"use_bias": False, "sliding_window": 7, "tie_word_embeddings": False, "norm_epsilon": 1e-3},
    ),
    sizes=SizeFields(head_dim=None),
    ties=True,
    gguf=GgufNames(
        "starcoder2",
        {**GGUF_TENSORS, "output_norm.bias": "model.norm.bias"},
        {**GGUF_LAYER_TENSORS, "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
        windowed=None,
        own_config=_gguf_config,
        layer_norms=True,
    ),
)
