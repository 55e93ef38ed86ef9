"""GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023): part of each head rotated, attention and MLP beside
each other.

q, k and v lie in one tensor, head by head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.models.base import Config
from honed.models.config import Fields
from honed.models.decoder import Decoder
from honed.models.family import NO_KV_HEADS, WHOLE_ROWS, Family, GgufNames
from honed.models.layers import causal, project
from honed.models.norm_decoder import NormDecoderConfig, NormDecoderNames, logits, mlp, norm, read_norm_decoder
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored, by_head, stacked
from honed.ops.record import Node, Recorder
from honed.ops.values import Rotary, Weight
from honed.records import dataclass

TABLE = "gpt_neox.embed_in.weight"
PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class GptNeox(Decoder):
    config: NormDecoderConfig
    rotary: Rotary
    attention_bias: bool
    parallel: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> GptNeox:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_norm_decoder(fields, NormDecoderNames(), activation="gelu", tied=False)
        # Older configs have names of their own for base and part of the rotation.
        base = fields.number("rotary_emb_base", 1e-3, 1e12, default=10000.0)
        part = fields.number("rotary_pct", 0.0, 1.0, default=0.25)
        rotation = Fields({**values, "rope_theta": base, "partial_rotary_factor": part}, source)
        return cls(
            config=config,
            rotary=read_rotary(rotation, config.dimensions.head_dim, partial=part),
            attention_bias=fields.boolean("attention_bias", default=True),
            parallel=fields.boolean("use_parallel_residual", default=True),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        hidden, head_dim, bias = self.config.hidden, self.dimensions.head_dim, self.attention_bias
        name = f"gpt_neox.layers.{layer}.attention"
        q, k, v = (project(ops, x, f"{name}.{part}", inputs=hidden, outputs=hidden, bias=bias) for part in PARTS)
        q = ops.rope(q, self.rotary, head_dim)
        k = ops.rope(k, self.rotary, head_dim)
        mixed = ops.attention(q, k, v, causal(head_dim), cache=layer)
        return project(ops, mixed, f"{name}.dense", inputs=hidden, outputs=hidden, bias=bias)

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        name = f"gpt_neox.layers.{layer}.mlp"
        return mlp(ops, x, f"{name}.dense_h_to_4h", f"{name}.dense_4h_to_h", self.config)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        name, width, eps = f"gpt_neox.layers.{layer}", self.config.hidden, self.config.eps
        attended = self.attention(ops, norm(ops, x, f"{name}.input_layernorm", width, eps), layer)
        if not self.parallel:
            x = ops.add(x, attended)
        inner = self.mlp(ops, norm(ops, x, f"{name}.post_attention_layernorm", width, eps), layer)
        if self.parallel:
            x = ops.add(x, attended)
        return ops.add(x, inner)

    def forward(self, ops: Recorder) -> Node:
        config = self.config
        table = Weight(TABLE, (self.dimensions.vocabulary, config.hidden))
        x = ops.embedding(table)
        for layer in range(self.dimensions.layers):
            x = self.block(ops, x, layer)
        normed = norm(ops, ops.select(x), "gpt_neox.final_layer_norm", config.hidden, config.eps)
        return logits(ops, normed, table, tied=config.tied)


def stored(model: GptNeox, *, interleaved: bool = True) -> Forms:
    """What its files hold otherwise; `interleaved`: q, k and v head by head, else behind each other."""
    forms: dict[str, Stored] = {}
    weights, heads = model.weights(), model.dimensions.heads
    for layer in range(model.dimensions.layers):
        name = f"gpt_neox.layers.{layer}.attention"
        for kind in ("weight", "bias") if model.attention_bias else ("weight",):
            parts = [weights[f"{name}.{part}.{kind}"] for part in PARTS]
            tensor = f"{name}.query_key_value.{kind}"
            forms.update(by_head(tensor, parts, heads) if interleaved else stacked(tensor, parts))
    return forms


def _gguf_config(common: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hidden_act": "gelu",
        "layer_norm_eps": common["rms_norm_eps"],
        "use_parallel_residual": keys.get("use_parallel_residual", True),
        "rotary_emb_base": common["rope_theta"],
        "rotary_pct": common["partial_rotary_factor"],
    }


FAMILY = Family(
    model_type="gpt_neox",
    class_name="GPTNeoXForCausalLM",
    read=GptNeox.from_config,
    covers="Pythia, GPT-NeoX-20B, Dolly 2",
    samples=(
        {**NO_KV_HEADS, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        {
            **NO_KV_HEADS,
            "use_parallel_residual": False,
            "attention_bias": False,
            "hidden_act": "gelu_new",
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 1.0},
        },
    ),
    layer_prefix="gpt_neox.layers.",
    sizes=WHOLE_ROWS,
    stored=stored,
    base="gpt_neox.",
    table=TABLE,
    buffers=(".attention.bias", ".attention.masked_bias"),  # the mask of what is ahead
    own_fields=frozenset({"use_parallel_residual"}),
    renamed={"embed_out.": "lm_head."},
    gguf=GgufNames(
        "gptneox",
        {
            "token_embd.weight": TABLE,
            "output_norm.weight": "gpt_neox.final_layer_norm.weight",
            "output_norm.bias": "gpt_neox.final_layer_norm.bias",
            "output.weight": "lm_head.weight",
        },
        {
            "attn_norm": "input_layernorm",
            "attn_qkv": "attention.query_key_value",
            "attn_output": "attention.dense",
            "ffn_norm": "post_attention_layernorm",
            "ffn_up": "mlp.dense_h_to_4h",
            "ffn_down": "mlp.dense_4h_to_h",
        },
        stored=lambda model: stored(model, interleaved=False),
        own_config=_gguf_config,
        own_keys=frozenset({"use_parallel_residual"}),
        own_values=lambda model: {"use_parallel_residual": model.parallel},
        layer_norms=True,
        partial=True,
    ),
)
