"""The one thing that model files call: ops that write down what they are asked, and so give the graph.

A method an op, for the names and defaults that a model file reads well with. Not here: what the ops mean and which
shapes they have (`table.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NewType

from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import (
    Activate,
    Add,
    Attention,
    Combine,
    Dispatch,
    Embedding,
    ExpertLinear,
    FloatRows,
    Gated,
    LayerNorm,
    Linear,
    Pool,
    RmsNorm,
    Rope,
    Route,
    Scale,
    Select,
)
from honed.ops.values import TOKENS, Activation, AttentionSpec, GatedActivation, Pooling, Rotary, Scoring, Weight

Node = NewType("Node", int)
"""A value of the graph that is being recorded."""


class Recorder:
    """Shapes are checked at every call: PlanError."""

    def __init__(self) -> None:
        self._statements: list[Statement] = []

    def record(self, operation: Operation) -> Node:
        """Any operation, also one that is in no table."""
        inputs = [self._statements[number].value for number in operation.inputs]
        number = len(self._statements)
        self._statements.append(Statement(number, operation, operation.infer(inputs)))
        return Node(number)

    def graph(self, outputs: Mapping[str, Node]) -> Graph:
        """Of all that was recorded; `outputs` are its results."""
        return Graph(tuple(self._statements), dict(outputs))

    def embedding(self, table: Weight, ids: str = TOKENS, *, first_row: int = 0) -> Node:
        return self.record(Embedding((), table, ids, first_row))

    def float_rows(self, rows: str, width: int) -> Node:
        return self.record(FloatRows((), rows, width))

    def linear(self, x: Node, weight: Weight, bias: Weight | None = None) -> Node:
        return self.record(Linear((x,), weight, bias))

    def rms_norm(self, x: Node, weight: Weight, eps: float) -> Node:
        return self.record(RmsNorm((x,), weight, eps))

    def layer_norm(self, x: Node, weight: Weight, bias: Weight | None, eps: float) -> Node:
        return self.record(LayerNorm((x,), weight, bias, eps))

    def rope(self, x: Node, rotary: Rotary, head_dim: int) -> Node:
        return self.record(Rope((x,), rotary, head_dim))

    def attention(self, q: Node, k: Node, v: Node, spec: AttentionSpec, *, cache: int | None = None) -> Node:
        return self.record(Attention((q, k, v), spec, cache))

    def gated(self, gate: Node, up: Node, activation: GatedActivation) -> Node:
        return self.record(Gated((gate, up), activation))

    def activate(self, x: Node, activation: Activation) -> Node:
        return self.record(Activate((x,), activation))

    def add(self, a: Node, b: Node) -> Node:
        return self.record(Add((a, b)))

    def route(self, scores: Node, chosen: int, scoring: Scoring) -> Node:
        return self.record(Route((scores,), chosen, scoring))

    def dispatch(self, x: Node, routing: Node) -> Node:
        return self.record(Dispatch((x, routing)))

    def expert_linear(self, x: Node, routing: Node, matrices: Sequence[Weight], biases: Sequence[Weight] = ()) -> Node:
        return self.record(ExpertLinear((x, routing), tuple(matrices), tuple(biases)))

    def combine(self, x: Node, routing: Node) -> Node:
        return self.record(Combine((x, routing)))

    def scale(self, x: Node, factor: float) -> Node:
        """x itself where the factor is 1."""
        return x if factor == 1.0 else self.record(Scale((x,), factor))

    def select(self, x: Node) -> Node:
        return self.record(Select((x,)))

    def pool(self, x: Node, pooling: Pooling) -> Node:
        return self.record(Pool((x,), pooling))


Program = Callable[[Recorder], Mapping[str, Node]]
"""A forward function of a model: what it gives, by name. Its inputs are those that its ops read by theirs."""


def record(program: Program) -> Graph:
    """The graph of a program."""
    recorder = Recorder()
    return recorder.graph(program(recorder))
