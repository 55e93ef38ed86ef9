"""Which weights of a model are multiplied, found by running its forward pass without values.

A model file says all of this by the ops that it calls, so no list of layer names is kept anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from honed.models.base import DecoderModel
from honed.ops.table import Activation, Rotary, Weight

HEAD = "lm_head.weight"
"""Name that the head has in a recipe and a report, also where it is tied to the embedding."""


@dataclass(frozen=True)
class Linears:
    """`layers` are the matrices of linear ops before the selection of rows, `head` the one after it."""

    layers: tuple[Weight, ...]
    head: Weight
    embedding: Weight

    @property
    def tied(self) -> bool:
        return self.head.name == self.embedding.name

    @property
    def head_name(self) -> str:
        return HEAD if self.tied else self.head.name


def find_linears(model: DecoderModel) -> Linears:
    """Walks the forward pass once; takes no memory for weights."""
    walk = _Walk()
    model.forward(walk)
    return Linears(tuple(walk.layers.values()), walk.heads[0], walk.embeddings[0])


@dataclass
class _Walk:
    """Ops whose values say only whether the rows have been selected."""

    layers: dict[str, Weight] = field(default_factory=dict)
    heads: list[Weight] = field(default_factory=list)
    embeddings: list[Weight] = field(default_factory=list)

    def embedding(self, table: Weight) -> bool:
        self.embeddings.append(table)
        return False

    def linear(self, x: bool, weight: Weight, bias: Weight | None = None) -> bool:
        if x:
            self.heads.append(weight)
        else:
            self.layers[weight.name] = weight
        return x

    def rms_norm(self, x: bool, weight: Weight, eps: float) -> bool:
        return x

    def rope(self, x: bool, rotary: Rotary, head_dim: int) -> bool:
        return x

    def attention(
        self, q: bool, k: bool, v: bool, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> bool:
        return q

    def gated(self, gate: bool, up: bool, activation: Activation) -> bool:
        return gate

    def add(self, a: bool, b: bool) -> bool:
        return a or b

    def select(self, x: bool) -> bool:
        return True
