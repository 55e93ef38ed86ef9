"""Gemma 2 (Gemma Team 2024): norms before and after each half of a block, and soft caps on scores and logits.

Every other layer slides, beginning with the first; the embedding is scaled by the root of its width, and the MLP is
gated by GELU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.models.base import Config
from honed.models.config import DecoderConfig, Fields, read_decoder
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufNames
from honed.models.gemma import (
    GATE,
    GGUF_NORMS,
    GemmaBlocks,
    norms_without_one,
    read_cap,
    read_score_scale,
    read_windows,
    refuse_both_directions,
)
from honed.models.layers import project_out, project_qkv
from honed.models.rope_scaling import read_rotary
from honed.ops.record import Node, Recorder
from honed.ops.values import AttentionSpec, Rotary
from honed.records import dataclass


@dataclass(frozen=True)
class Gemma2(GemmaBlocks):
    config: DecoderConfig
    rotary: Rotary
    attention_bias: bool
    windows: tuple[int | None, ...]
    score_scale: float
    score_cap: float | None
    logit_cap: float | None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Gemma2:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, head_dim=256, tied=True, activation_field="hidden_activation", activation=GATE)
        refuse_both_directions(fields)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            attention_bias=fields.boolean("attention_bias", default=False),
            windows=read_windows(fields, config.dimensions.layers, full_every=2),
            score_scale=read_score_scale(fields),
            score_cap=read_cap(fields, "attn_logit_softcapping", 50.0),
            logit_cap=read_cap(fields, "final_logit_softcapping", 30.0),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias, window = self.config.dimensions.head_dim, self.attention_bias, self.windows[layer]
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        before = None if window is None else window - 1
        spec = AttentionSpec(head_dim, self.score_scale, before=before, soft_cap=self.score_cap)
        mixed = ops.attention(q, k, v, spec, cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)


def _gguf_values(model: Gemma2) -> Mapping[str, Any]:
    caps = {"attn_logit_softcapping": model.score_cap, "final_logit_softcapping": model.logit_cap}
    return {key: cap for key, cap in caps.items() if cap is not None}


FAMILY = Family(
    model_type="gemma2",
    class_name="Gemma2ForCausalLM",
    read=Gemma2.from_config,
    covers="Gemma 2",
    samples=(
        {
            "head_dim": 16,
            "sliding_window": 7,
            "query_pre_attn_scalar": 16,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        {
            "head_dim": 24,
            "layer_types": ["full_attention", "sliding_attention"],
            "sliding_window": 5,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": None,
            "tie_word_embeddings": False,
        },
    ),
    own_fields=frozenset({"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"}),
    stored=norms_without_one,
    ties=True,
    gguf=GgufNames("gemma2", GGUF_TENSORS, {**GGUF_LAYER_TENSORS, **GGUF_NORMS}, own_values=_gguf_values),
)
