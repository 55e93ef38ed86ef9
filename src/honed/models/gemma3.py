"""Gemma 3 (Gemma Team 2025), its text half: five layers that slide to one that sees all.

Each kind of layer has a rotation of its own. Norms before and after each half of a block and on each head of q and k.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.errors import UnsupportedError
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
from honed.ops.values import AttentionSpec, Rotary, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Gemma3(GemmaBlocks):
    config: DecoderConfig
    rotary: Rotary
    sliding_rotary: Rotary
    attention_bias: bool
    windows: tuple[int | None, ...]
    score_scale: float
    logit_cap: float | None

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Gemma3:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        full, sliding = _of_full_layers(Fields(values, source)), _of_sliding_layers(Fields(values, source))
        config = read_decoder(full, head_dim=256, tied=True, activation_field="hidden_activation", activation=GATE)
        refuse_both_directions(full)
        return cls(
            config=config,
            rotary=read_rotary(full, config.dimensions.head_dim),
            sliding_rotary=read_rotary(sliding, config.dimensions.head_dim),
            attention_bias=full.boolean("attention_bias", default=False),
            windows=read_windows(full, config.dimensions.layers, full_every=6),
            score_scale=read_score_scale(full),
            logit_cap=read_cap(full, "final_logit_softcapping", None),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        head_dim, bias, window = self.config.dimensions.head_dim, self.attention_bias, self.windows[layer]
        name = f"model.layers.{layer}.self_attn"
        q, k, v = project_qkv(ops, x, name, self.config, bias=bias)
        q = ops.rms_norm(q, Weight(f"{name}.q_norm.weight", (head_dim,)), self.config.eps)
        k = ops.rms_norm(k, Weight(f"{name}.k_norm.weight", (head_dim,)), self.config.eps)
        rotary = self.rotary if window is None else self.sliding_rotary
        q = ops.rope(q, rotary, head_dim)
        k = ops.rope(k, rotary, head_dim)
        spec = AttentionSpec(head_dim, self.score_scale, before=None if window is None else window - 1)
        mixed = ops.attention(q, k, v, spec, cache=layer)
        return project_out(ops, mixed, name, self.config, bias=bias)


def _of_full_layers(fields: Fields) -> Fields:
    """The config of a model whose layers all see everything: the older `rope_scaling` is theirs alone."""
    own = _parameters(fields, "full_attention")
    theta = fields.number("rope_theta", 1e-3, 1e12, default=1e6)
    older = fields.nested("rope_scaling")
    if own is not None and older is not None:
        own, older = {**own, **older.values}, None
    return _rotating(fields, "full_attention", theta, own, None if older is None else older.values)


def _of_sliding_layers(fields: Fields) -> Fields:
    """The same of one whose layers all slide."""
    theta = fields.number("rope_local_base_freq", 1e-3, 1e12, default=1e4)
    return _rotating(fields, "sliding_attention", theta, _parameters(fields, "sliding_attention"), None)


def _parameters(fields: Fields, kind: str) -> Config | None:
    """What the newer form, which has an object for each kind of layer, says of one.

    Errors: UnsupportedError for one object that names no kind, of which it cannot be told whom it is about.
    """
    newer = fields.nested("rope_parameters")
    if newer is None:
        return None
    if newer.values and not {"full_attention", "sliding_attention"} & newer.values.keys():
        raise UnsupportedError(
            f"{fields.source}: rope_parameters: has no full_attention or sliding_attention, and the rotation differs "
            "between the two"
        )
    own = newer.nested(kind)
    return None if own is None else own.values


def _rotating(fields: Fields, kind: str, theta: float, newer: Config | None, older: Config | None) -> Fields:
    parameters = None if newer is None else {kind: dict(newer)}
    own = {"rope_theta": theta, "rope_parameters": parameters, "rope_scaling": older}
    return Fields({**fields.values, **own}, fields.source, fields.prefix)


_GGUF_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}


def _gguf_values(model: Gemma3) -> Mapping[str, Any]:
    return {} if model.logit_cap is None else {"final_logit_softcapping": model.logit_cap}


FAMILY = Family(
    model_type="gemma3_text",
    class_name="Gemma3ForCausalLM",
    read=Gemma3.from_config,
    covers="Gemma 3, text: 270M, 1B",
    samples=(
        {"head_dim": 16, "sliding_window": 7, "query_pre_attn_scalar": 16, "num_hidden_layers": 6},
        {
            "head_dim": 24,
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 5,
            "query_pre_attn_scalar": 20,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
            },
        },
    ),
    own_fields=frozenset({"query_pre_attn_scalar", "final_logit_softcapping"}),
    stored=norms_without_one,
    ties=True,
    gguf=GgufNames(
        "gemma3", GGUF_TENSORS, {**GGUF_LAYER_TENSORS, **GGUF_NORMS, **_GGUF_HEAD_NORMS}, own_values=_gguf_values
    ),
)
