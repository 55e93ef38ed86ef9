"""GLM-4 (GLM et al. 2024): pre-norm, the first half of each head rotated in neighbouring pairs, biases on q, k and v.

`glm` is the first release, `glm4` that of 2025, with norms behind attention and MLP too. Files hold gate and up as one
tensor.
"""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored, stacked
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Glm4(BlockDecoder):
    """post_norms: whether what attention and MLP give is normalized before it is added."""

    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool
    post_norms: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Glm4:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        return cls._read(Fields(values, source), post_norms=True)

    @classmethod
    def from_first_config(cls, values: Config, source: Path | str) -> Glm4:
        """The same of a `glm`."""
        return cls._read(Fields(values, source), post_norms=False)

    @classmethod
    def _read(cls, fields: Fields, *, post_norms: bool) -> Glm4:
        config = read_decoder(fields, head_dim=128, eps=1.5625e-07)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim, partial=0.5, interleaved=True),
            attention_bias=fields.boolean("attention_bias", default=True),
            post_norms=post_norms,
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias = self.config.dimensions.head_dim, self.attention_bias
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim), cache=layer)
        return project_out(ops, mixed, name, self.config)

    def after(self, ops: Recorder, x: Node, layer: int, name: str) -> Node:
        return self.norm(ops, x, layer, name) if self.post_norms else x

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        mixed = self.attention(ops, self.norm(ops, x, layer, "input_layernorm"), layer)
        x = ops.add(x, self.after(ops, mixed, layer, "post_self_attn_layernorm"))
        mixed = self.mlp(ops, self.norm(ops, x, layer, "post_attention_layernorm"), layer)
        return ops.add(x, self.after(ops, mixed, layer, "post_mlp_layernorm"))


def stored(model: Glm4) -> Forms:
    """gate and up behind each other."""
    found: dict[str, Stored] = {}
    for layer in range(model.config.dimensions.layers):
        name, shape = f"model.layers.{layer}.mlp", (model.config.intermediate, model.config.hidden)
        parts = [Weight(f"{name}.{part}_proj.weight", shape) for part in ("gate", "up")]
        found.update(stacked(f"{name}.gate_up_proj.weight", parts))
    return found


_FIRST_LAYERS = {name: ours for name, ours in GGUF_LAYER_TENSORS.items() if name != "ffn_gate"} | {
    "ffn_up": "mlp.gate_up_proj",
}
_LAYERS = _FIRST_LAYERS | {
    "post_attention_norm": "post_self_attn_layernorm",
    "post_ffw_norm": "post_mlp_layernorm",
}

FAMILY = Family(
    model_type="glm4",
    class_name="Glm4ForCausalLM",
    read=Glm4.from_config,
    covers="GLM-4 of April 2025, GLM-Z1: 9B, 32B",
    samples=({"head_dim": 16}, {"head_dim": 16, "partial_rotary_factor": 0.75, "attention_bias": False}),
    gguf=GgufNames("glm4", GGUF_TENSORS, _LAYERS, stored=stored, partial=True),
    stored=stored,
)
FIRST_FAMILY = Family(
    model_type="glm",
    class_name="GlmForCausalLM",
    read=Glm4.from_first_config,
    covers="GLM-4 9B, GLM-Edge",
    samples=({"head_dim": 16}, {"head_dim": 24, "attention_bias": False}),
    gguf=GgufNames("chatglm", GGUF_TENSORS, _FIRST_LAYERS, stored=stored, partial=True),
    stored=stored,
)
