"""Phi-3 (Abdin et al. 2024) and Phi-4: a Llama whose q, k and v lie in one tensor, and gate and up in another.

Some rotate a part of each head, some stretch the rotation by a divisor for each pair, some see a sliding window.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, DecoderConfig, Fields, read_decoder, rope_fields, rope_kind
from honed.models.decoder import BlockDecoder
from honed.models.family import GGUF_TENSORS, Family, GgufNames
from honed.models.layers import causal, project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored, stacked
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary
from honed.records import dataclass

ORIGINAL_CONTEXT = 4096
"""Where a config does not say it."""


@dataclass(frozen=True)
class Phi3(BlockDecoder):
    config: DecoderConfig
    rotary: Rotary
    window: int | None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Phi3:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(_newer(values, source), source)
        config = read_decoder(fields, kv_heads_default=True, eps=1e-5)
        full = values.get("sliding_window") is None
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim, partial=1.0),
            window=None if full else fields.integer("sliding_window", 1, MAX_CONTEXT),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim = self.config.dimensions.head_dim
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim, self.window), cache=layer)
        return project_out(ops, mixed, name, self.config)


def _newer(values: Config, source: Path | str) -> Config:
    """The config with the names of today: what its first releases called yarn is longrope, as in transformers."""
    values = {"original_max_position_embeddings": ORIGINAL_CONTEXT, **values}
    scaling = rope_fields(Fields(values, source))
    if rope_kind(scaling) != "yarn":
        return values
    return {**values, "rope_scaling": {**scaling.values, "rope_type": "longrope"}}


def stored(model: Phi3) -> Forms:
    """What its files hold otherwise, GGUF files too."""
    forms: dict[str, Stored] = {}
    weights = model.weights()
    for layer in range(model.dimensions.layers):
        name = f"model.layers.{layer}"
        qkv = [weights[f"{name}.self_attn.{part}_proj.weight"] for part in ("q", "k", "v")]
        forms.update(stacked(f"{name}.self_attn.qkv_proj.weight", qkv))
        wide = [weights[f"{name}.mlp.{part}_proj.weight"] for part in ("gate", "up")]
        forms.update(stacked(f"{name}.mlp.gate_up_proj.weight", wide))
    return forms


def _gguf_config(common: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Configs keep the length that the rotation was made for beside its scaling."""
    original = keys.get("rope.scaling.original_context_length", common["max_position_embeddings"])
    return {"original_max_position_embeddings": original}


FAMILY = Family(
    model_type="phi3",
    class_name="Phi3ForCausalLM",
    read=Phi3.from_config,
    covers="Phi-3, Phi-3.5 mini, Phi-4, Phi-4 mini",
    samples=(
        {"sliding_window": 7},
        {
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 64,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0, 1.25, 1.5, 2.0],
                "long_factor": [2.0, 2.5, 3.0, 4.0],
                "original_max_position_embeddings": 64,
                "partial_rotary_factor": 0.5,
            },
        },
    ),
    stored=stored,
    gguf=GgufNames(
        "phi3",
        GGUF_TENSORS,
        {
            "attn_norm": "input_layernorm",
            "attn_qkv": "self_attn.qkv_proj",
            "attn_output": "self_attn.o_proj",
            "ffn_norm": "post_attention_layernorm",
            "ffn_up": "mlp.gate_up_proj",
            "ffn_down": "mlp.down_proj",
        },
        windowed=None,
        stored=stored,
        own_config=_gguf_config,
        partial=True,
    ),
)
