"""Mixtral (Jiang et al. 2024): a Mistral whose MLPs are mixtures of experts."""

from __future__ import annotations

from pathlib import Path

from honed.models.base import Config
from honed.models.config import MAX_CONTEXT, Fields, read_decoder, with_defaults
from honed.models.experts import Experts, Names, expert_mlp, read_experts, stacked_experts
from honed.models.family import GGUF_LAYER_TENSORS, GGUF_TENSORS, Family, GgufExperts, GgufNames
from honed.models.llama import GGUF_INTERLEAVED
from honed.models.mistral import Mistral
from honed.models.rope_scaling import read_rotary
from honed.models.stored import Forms, Stored
from honed.ops.record import Node, Recorder
from honed.records import dataclass

_PARTS = {"gate": "w1", "down": "w2", "up": "w3"}


@dataclass(frozen=True)
class Mixtral(Mistral):
    experts: Experts

    @classmethod
    def from_config(cls, values: Config, source: Path | str) -> Mixtral:
        """Reads a config.json; `source` is named in errors (FormatError, UnsupportedError)."""
        fields = with_defaults(Fields(values, source), {"rope_theta": 1000000.0})
        config = read_decoder(fields, kv_heads_default=True, eps=1e-5)
        sliding = values.get("sliding_window") is not None
        return cls(
            config=config,
            rotary=read_rotary(fields, config.dimensions.head_dim),
            window=fields.integer("sliding_window", 1, MAX_CONTEXT) if sliding else None,
            experts=read_experts(
                fields, count="num_local_experts", inner="intermediate_size", scoring="softmax_of_chosen"
            ),
        )

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        return expert_mlp(ops, x, self.config, self.experts, router=f"{_block(layer)}.gate", name=_names(layer))


def _block(layer: int) -> str:
    return f"model.layers.{layer}.block_sparse_moe"


def _names(layer: int) -> Names:
    return lambda expert, part: f"{_block(layer)}.experts.{expert}.{_PARTS[part]}.weight"


def _in_gguf(model: Mixtral) -> Forms:
    forms: dict[str, Stored] = {}
    for layer in range(model.config.dimensions.layers):
        tensors = {part: f"{_block(layer)}.experts.{name}.weight" for part, name in _PARTS.items()}
        forms.update(stacked_experts(model.config, model.experts, _names(layer), tensors))
    return forms


_GGUF_EXPERTS = {
    "ffn_gate_inp": "block_sparse_moe.gate",
    **{f"ffn_{part}_exps": f"block_sparse_moe.experts.{name}" for part, name in _PARTS.items()},
}

FAMILY = Family(
    model_type="mixtral",
    class_name="MixtralForCausalLM",
    read=Mixtral.from_config,
    covers="Mixtral 8x7B, 8x22B",
    samples=(
        {"num_local_experts": 4, "num_experts_per_tok": 2},
        {"num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 6},
    ),
    own_fields=frozenset(("num_local_experts",)),
    gguf=GgufNames(
        "llama",
        GGUF_TENSORS,
        {**GGUF_LAYER_TENSORS, **_GGUF_EXPERTS},
        GGUF_INTERLEAVED,
        windowed=None,
        stored=_in_gguf,
        experts=GgufExperts("num_local_experts", "intermediate_size", normed=True),
    ),
)
