"""Granite MoE (Granite 3, 2024): a Granite whose MLPs are mixtures of experts, which files hold stacked."""

from __future__ import annotations

from pathlib import Path

from honed.encodings.rearranged import RowRuns
from honed.models.base import Config
from honed.models.config import Fields, read_decoder
from honed.models.experts import Experts, Names, expert_mlp, read_experts, stacked_experts
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufExperts, GgufNames
from honed.models.granite import FAMILY as GRANITE
from honed.models.granite import GGUF_KEYS, Granite, Multipliers, gguf_config, gguf_values
from honed.models.llama import GGUF_INTERLEAVED
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored
from honed.ops.record import Node, Recorder
from honed.ops.values import Weight
from honed.records import dataclass


@dataclass(frozen=True)
class GraniteMoe(Granite):
    experts: Experts

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> GraniteMoe:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = Fields(values, source)
        config = read_decoder(fields, kv_heads_default=True)
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            multipliers=Multipliers.from_config(fields),
            attention_bias=fields.boolean("attention_bias", default=False),
            mlp_bias=False,
            experts=read_experts(
                fields, count="num_local_experts", inner="intermediate_size", scoring="softmax_of_chosen"
            ),
        )

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        router = f"{_block(layer)}.router.layer"
        return expert_mlp(ops, x, self.config, self.experts, router=router, name=_names(layer))


def _block(layer: int) -> str:
    return f"model.layers.{layer}.block_sparse_moe"


def _names(layer: int) -> Names:
    """Of this model alone: files hold no expert by itself."""
    return lambda expert, part: f"{_block(layer)}.experts.{expert}.{part}_proj.weight"


def _stored(model: GraniteMoe) -> Forms:
    """Gate and up of all experts in one tensor, the gate first."""
    forms: dict[str, Stored] = {}
    count, inner, hidden = model.experts.count, model.experts.inner, model.config.hidden
    for layer in range(model.config.dimensions.layers):
        given = Weight(f"{_block(layer)}.input_linear.weight", (count, 2 * inner, hidden))
        taken = Weight(f"{_block(layer)}.output_linear.weight", (count, hidden, inner))
        name = _names(layer)
        for expert in range(count):
            forms[name(expert, "gate")] = Stored(given, matrix=expert, rows=RowRuns(0, inner))
            forms[name(expert, "up")] = Stored(given, matrix=expert, rows=RowRuns(inner, inner))
            forms[name(expert, "down")] = Stored(taken, matrix=expert)
    return forms


_GGUF_PARTS = {part: f"block_sparse_moe.experts.{part}_proj" for part in ("gate", "up", "down")}


def _in_gguf(model: GraniteMoe) -> Forms:
    forms: dict[str, Stored] = {}
    for layer in range(model.config.dimensions.layers):
        tensors = {part: f"model.layers.{layer}.{name}.weight" for part, name in _GGUF_PARTS.items()}
        forms.update(stacked_experts(model.config, model.experts, _names(layer), tensors))
    return forms


FAMILY = Family(
    model_type="granitemoe",
    class_name="GraniteMoeForCausalLM",
    read=GraniteMoe.from_config,
    covers="Granite 3 1B-A400M, 3B-A800M",
    samples=(
        {**GRANITE.samples[0], "num_local_experts": 4, "num_experts_per_tok": 2},
        {"num_local_experts": 4, "num_experts_per_tok": 1, "attention_bias": True, "tie_word_embeddings": True},
    ),
    own_fields=GRANITE.own_fields | {"num_local_experts"},
    stored=_stored,
    gguf=GgufNames(
        "granitemoe",
        GGUF_TENSORS,
        {
            **GGUF_LAYER_TENSORS,
            "ffn_gate_inp": "block_sparse_moe.router.layer",
            **{f"ffn_{part}_exps": name for part, name in _GGUF_PARTS.items()},
        },
        GGUF_INTERLEAVED,
        stored=_in_gguf,
        own_config=gguf_config,
        own_keys=GGUF_KEYS,
        own_values=gguf_values,
        experts=GgufExperts("num_local_experts", "intermediate_size", normed=True),
    ),
)
