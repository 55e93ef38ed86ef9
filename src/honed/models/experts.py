"""What mixtures of experts have in common: an MLP of which each row goes through a few (Shazeer et al. 2017).

Not here: where the router and the experts of a family lie, which its file says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from honed.models.config import MAX_WIDTH, DecoderConfig, Fields
from honed.models.layers import project
from honed.models.stored import Forms, Stored
from honed.ops.record import Node, Recorder
from honed.ops.values import Scoring, Weight
from honed.records import dataclass

MAX_EXPERTS = 1024
MAX_CHOSEN = 64
PARTS = ("gate", "up", "down")

EXPERT_GGUF_TENSORS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.gate_proj",
    "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
}
"""Of a layer, in GGUF files and in models that name experts as Qwen's do."""


SAMPLE_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
"""Of a tiny config, as Qwen's families spell it."""


@dataclass(frozen=True)
class Experts:
    """Of each layer that has some: `count` MLPs of `inner` features, of which a row goes through `chosen`."""

    count: int
    chosen: int
    inner: int
    scoring: Scoring


def read_experts(fields: Fields, *, count: str, inner: str, scoring: Scoring) -> Experts:
    """`count` and `inner` are the names of their fields; FormatError for what is out of bounds."""
    if count not in fields.values and "num_local_experts" in fields.values:
        count = "num_local_experts"  # what transformers 5 writes
    experts = fields.integer(count, 1, MAX_EXPERTS)
    return Experts(
        count=experts,
        chosen=fields.integer("num_experts_per_tok", 1, min(experts, MAX_CHOSEN)),
        inner=fields.integer(inner, 1, MAX_WIDTH),
        scoring=scoring,
    )


def read_scoring(fields: Fields) -> Scoring:
    """Whether what the chosen experts count sums to one."""
    return "softmax_of_chosen" if fields.boolean("norm_topk_prob", default=False) else "softmax"


def read_sparse_layers(fields: Fields, layers: int) -> tuple[bool, ...]:
    """Which layers of the Qwen families have experts: every decoder_sparse_step-th but those of mlp_only_layers."""
    step = fields.integer("decoder_sparse_step", 1, MAX_WIDTH, default=1)
    dense = fields.values.get("mlp_only_layers") or []
    if not isinstance(dense, list | tuple) or not all(type(layer) is int and layer >= 0 for layer in dense):
        raise fields.wrong("mlp_only_layers", "must be a list of numbers of layers")
    return tuple(layer not in dense and (layer + 1) % step == 0 for layer in range(layers))


Names = Callable[[int, str], str]
"""The name of the weight of an expert: its number, and gate, up or down."""


def expert_mlp(ops: Recorder, x: Node, config: DecoderConfig, experts: Experts, *, router: str, name: Names) -> Node:
    """The gated MLPs of the experts that each row goes to, summed by what they count. `router` is a linear layer."""
    routing = ops.route(
        project(ops, x, router, inputs=config.hidden, outputs=experts.count), experts.chosen, experts.scoring
    )
    copies = ops.dispatch(x, routing)
    gate, up, down = (_matrices(config, experts, name, part) for part in PARTS)
    inner = ops.gated(
        ops.expert_linear(copies, routing, gate), ops.expert_linear(copies, routing, up), config.activation
    )
    return ops.combine(ops.expert_linear(inner, routing, down), routing)


def _matrices(config: DecoderConfig, experts: Experts, name: Names, part: str) -> tuple[Weight, ...]:
    shape = (config.hidden, experts.inner) if part == "down" else (experts.inner, config.hidden)
    return tuple(Weight(name(expert, part), shape) for expert in range(experts.count))


def listed(prefix: str) -> Names:
    """Experts as Qwen's are named: `prefix.N.gate_proj.weight`."""
    return lambda expert, part: f"{prefix}.{expert}.{part}_proj.weight"


def stacked_experts(
    config: DecoderConfig, experts: Experts, name: Names, tensors: Mapping[str, str]
) -> Iterator[tuple[str, Stored]]:
    """The experts of a layer whose matrices lie in one tensor [experts, out, in] for each of gate, up and down."""
    for part in PARTS:
        matrices = _matrices(config, experts, name, part)
        whole = Weight(tensors[part], (experts.count, *matrices[0].shape))
        for expert, matrix in enumerate(matrices):
            yield matrix.name, Stored(whole, matrix=expert)


def in_gguf(config: DecoderConfig, experts: Experts, sparse: Sequence[bool]) -> Forms:
    """How GGUF files hold the experts of layers that name them as Qwen's do."""
    forms: dict[str, Stored] = {}
    for layer in (layer for layer, has in enumerate(sparse) if has):
        prefix = f"model.layers.{layer}.mlp.experts"
        tensors = {part: f"{prefix}.{part}_proj.weight" for part in PARTS}
        forms.update(stacked_experts(config, experts, listed(prefix), tensors))
    return forms
