"""GPT-2 (Radford et al. 2019): learned positions, LayerNorms before attention and MLP, every matrix stored transposed.

q, k and v lie side by side in one tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.errors import UnsupportedError
from honed.models.base import Config
from honed.models.config import Fields
from honed.models.decoder import Decoder
from honed.models.family import Family, GgufNames, SizeFields
from honed.models.layers import project
from honed.models.norm_decoder import NormDecoderConfig, NormDecoderNames, logits, mlp, norm, read_norm_decoder
from honed.models.stored import Forms, Stored, stacked, transposed
from honed.ops.record import Node, Recorder
from honed.ops.values import POSITIONS, AttentionSpec, Weight
from honed.records import dataclass

NAMES = NormDecoderNames(
    hidden="n_embd",
    intermediate="n_inner",
    layers="n_layer",
    heads="n_head",
    positions="n_positions",
    activation="activation_function",
    eps="layer_norm_epsilon",
)
TABLE = "transformer.wte.weight"
POSITION_TABLE = "transformer.wpe.weight"


@dataclass(frozen=True)
class Gpt2(Decoder):
    config: NormDecoderConfig
    scaled: bool
    scaled_by_layer: bool

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Gpt2:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        if fields.boolean("add_cross_attention", default=False):
            raise UnsupportedError(
                f"{source}: add_cross_attention is true: attention to an encoder is not supported; supported is false"
            )
        return cls(
            config=read_norm_decoder(fields, NAMES, activation="gelu_new", tied=True, intermediate=4),
            scaled=fields.boolean("scale_attn_weights", default=True),
            scaled_by_layer=fields.boolean("scale_attn_by_inverse_layer_idx", default=False),
        )

    def attention(self, ops: Recorder, x: Node, layer: int) -> Node:
        hidden, head_dim = self.config.hidden, self.dimensions.head_dim
        name = f"transformer.h.{layer}.attn"
        q, k, v = (
            project(ops, x, f"{name}.{part}_proj", inputs=hidden, outputs=hidden, bias=True) for part in ("q", "k", "v")
        )
        scale = head_dim**-0.5 if self.scaled else 1.0
        spec = AttentionSpec(head_dim, scale / (layer + 1) if self.scaled_by_layer else scale)
        mixed = ops.attention(q, k, v, spec, cache=layer)
        return project(ops, mixed, f"{name}.c_proj", inputs=hidden, outputs=hidden, bias=True)

    def block(self, ops: Recorder, x: Node, layer: int) -> Node:
        name, width, eps = f"transformer.h.{layer}", self.config.hidden, self.config.eps
        x = ops.add(x, self.attention(ops, norm(ops, x, f"{name}.ln_1", width, eps), layer))
        normed = norm(ops, x, f"{name}.ln_2", width, eps)
        return ops.add(x, mlp(ops, normed, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj", self.config))

    def forward(self, ops: Recorder) -> Node:
        config, size = self.config, self.dimensions
        table = Weight(TABLE, (size.vocabulary, config.hidden))
        positions = Weight(POSITION_TABLE, (size.context, config.hidden))
        x = ops.add(ops.embedding(table), ops.embedding(positions, POSITIONS))
        for layer in range(size.layers):
            x = self.block(ops, x, layer)
        normed = norm(ops, ops.select(x), "transformer.ln_f", config.hidden, config.eps)
        return logits(ops, normed, table, tied=config.tied)


def stored(model: Gpt2, *, across: bool = True) -> Forms:
    """What its files hold otherwise; `across`: matrices lie as (in, out)."""
    forms: dict[str, Stored] = {}
    weights = model.weights()
    for layer in range(model.dimensions.layers):
        name = f"transformer.h.{layer}"
        for kind in ("weight", "bias"):
            parts = [weights[f"{name}.attn.{part}_proj.{kind}"] for part in ("q", "k", "v")]
            forms.update(stacked(f"{name}.attn.c_attn.{kind}", parts, across=across))
        if across:
            for matrix in ("attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
                forms.update([transposed(weights[f"{name}.{matrix}.weight"])])
    return forms


def _gguf_config(common: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config, from those that every GGUF file gives."""
    return {
        "n_embd": common["hidden_size"],
        "n_inner": common["intermediate_size"],
        "n_layer": common["num_hidden_layers"],
        "n_head": common["num_attention_heads"],
        "n_positions": common["max_position_embeddings"],
        "layer_norm_epsilon": common["rms_norm_eps"],
        "activation_function": "gelu_new",
    }


SAMPLE_SIZES = {"vocab_size": 97, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}
FAMILY = Family(
    model_type="gpt2",
    class_name="GPT2LMHeadModel",
    read=Gpt2.from_config,
    covers="GPT-2, DistilGPT-2, DialoGPT",
    samples=(
        SAMPLE_SIZES,
        {
            **SAMPLE_SIZES,
            "n_inner": 88,
            "activation_function": "relu",
            "tie_word_embeddings": False,
            "scale_attn_by_inverse_layer_idx": True,
        },
    ),
    layer_prefix="transformer.h.",
    layers_field="n_layer",
    sizes=SizeFields(NAMES.intermediate, NAMES.heads, kv_heads=None, head_dim=None),
    stored=stored,
    base="transformer.",
    table=TABLE,
    ties=True,
    buffers=(".attn.bias", ".attn.masked_bias"),  # the mask of what is ahead
    gguf=GgufNames(
        "gpt2",
        {
            "token_embd.weight": TABLE,
            "position_embd.weight": POSITION_TABLE,
            "output_norm.weight": "transformer.ln_f.weight",
            "output_norm.bias": "transformer.ln_f.bias",
            "output.weight": "lm_head.weight",
        },
        {
            "attn_norm": "ln_1",
            "attn_qkv": "attn.c_attn",
            "attn_output": "attn.c_proj",
            "ffn_norm": "ln_2",
            "ffn_up": "mlp.c_fc",
            "ffn_down": "mlp.c_proj",
        },
        stored=lambda model: stored(model, across=False),
        own_config=_gguf_config,
        layer_norms=True,
    ),
)
