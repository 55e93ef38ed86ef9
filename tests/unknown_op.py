"""A model with an op that nothing but its graph knows, to see that whatever reads graphs is careful with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from honed.models.llama import Llama
from honed.ops.operation import Operation
from honed.ops.record import Node, Recorder
from honed.ops.values import Value, Weight
from honed.records import dataclass

CONFIG: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Unknown(Operation):
    """Input x. Has a weight as long as a row."""

    weight: Weight

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        self.runs(x, self.weight)
        return x


@dataclass(frozen=True)
class Odd(Llama):
    """In its second layer the op stands before the MLP, and also reads what its first projection reads."""

    def mlp(self, ops: Recorder, x: Node, layer: int) -> Node:
        if layer == 0:
            return super().mlp(ops, x, layer)
        changed = ops.record(Unknown((x,), Weight("unknown.weight", (self.config.hidden,))))
        return ops.add(super().mlp(ops, x, layer), super().mlp(ops, changed, layer + 1))


def odd_model() -> Odd:
    made = Odd.from_config(CONFIG, "config")
    assert isinstance(made, Odd)
    return made
