"""Pieces that are the same in every model file: a projection by its name, the gated MLP, the head, the weight list.

Attention is not here: it is what the families differ in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from honed.models.base import DecoderModel
from honed.models.config import DecoderConfig
from honed.ops.table import Activation, Ops, Rotary, Weight

Value = TypeVar("Value")

EMBEDDING = "model.embed_tokens.weight"


def project(ops: Ops[Value], x: Value, name: str, *, inputs: int, outputs: int, bias: bool = False) -> Value:
    """The linear layer `name`, with `name.weight` and, where it has one, `name.bias`."""
    return ops.linear(
        x,
        Weight(f"{name}.weight", (outputs, inputs)),
        Weight(f"{name}.bias", (outputs,)) if bias else None,
    )


def gated_mlp(ops: Ops[Value], x: Value, prefix: str, config: DecoderConfig, *, bias: bool = False) -> Value:
    """down(activation(gate(x)) * up(x)) (Shazeer 2020)."""
    hidden, inner = config.hidden, config.intermediate
    gate = project(ops, x, f"{prefix}.gate_proj", inputs=hidden, outputs=inner, bias=bias)
    up = project(ops, x, f"{prefix}.up_proj", inputs=hidden, outputs=inner, bias=bias)
    return project(
        ops, ops.gated(gate, up, config.activation), f"{prefix}.down_proj", inputs=inner, outputs=hidden, bias=bias
    )


def embedding_table(config: DecoderConfig) -> Weight:
    return Weight(EMBEDDING, (config.dimensions.vocabulary, config.hidden))


def head(ops: Ops[Value], x: Value, config: DecoderConfig) -> Value:
    """Final norm and logits of the selected rows; a tied head is the embedding table."""
    table = embedding_table(config)
    weight = table if config.tied else Weight("lm_head.weight", table.shape)
    normed = ops.rms_norm(ops.select(x), Weight("model.norm.weight", (config.hidden,)), config.eps)
    return ops.linear(normed, weight)


def list_weights(model: DecoderModel) -> Mapping[str, Weight]:
    """Every weight that the forward pass of the model names, in the order of first use."""
    collector = _Collector()
    model.forward(collector)
    return collector.found


class _Collector:
    """Ops that compute nothing and remember the weights."""

    def __init__(self) -> None:
        self.found: dict[str, Weight] = {}

    def _remember(self, *weights: Weight | None) -> None:
        self.found.update({weight.name: weight for weight in weights if weight is not None})

    def embedding(self, table: Weight) -> None:
        self._remember(table)

    def linear(self, x: None, weight: Weight, bias: Weight | None = None) -> None:
        self._remember(weight, bias)

    def rms_norm(self, x: None, weight: Weight, eps: float) -> None:
        self._remember(weight)

    def rope(self, x: None, rotary: Rotary, head_dim: int) -> None:
        return None

    def attention(
        self, q: None, k: None, v: None, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> None:
        return None

    def gated(self, gate: None, up: None, activation: Activation) -> None:
        return None

    def add(self, a: None, b: None) -> None:
        return None

    def select(self, x: None) -> None:
        return None
