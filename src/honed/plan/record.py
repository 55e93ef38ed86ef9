"""Runs the forward pass of a model with ops that write down what they are asked, and gives the graph."""

from __future__ import annotations

from typing import NewType

from honed.models.base import DecoderModel
from honed.ops.table import Activation, Rotary, Weight
from honed.plan import graph as g
from honed.plan.infer import infer

Number = NewType("Number", int)


class Recorder:
    """`honed.ops.table.Ops` over numbers of values. Shapes are checked at every call (PlanError)."""

    def __init__(self) -> None:
        self._statements: list[g.Statement] = []

    def _record(self, operation: g.Operation) -> Number:
        inputs = [self._statements[number].value for number in operation.inputs]
        number = len(self._statements)
        self._statements.append(g.Statement(number, operation, infer(operation, inputs)))
        return Number(number)

    def graph(self) -> g.Graph:
        return g.Graph(tuple(self._statements))

    def embedding(self, table: Weight) -> Number:
        return self._record(g.Embedding((), table))

    def linear(self, x: Number, weight: Weight, bias: Weight | None = None) -> Number:
        return self._record(g.Linear((x,), weight, bias))

    def rms_norm(self, x: Number, weight: Weight, eps: float) -> Number:
        return self._record(g.RmsNorm((x,), weight, eps))

    def rope(self, x: Number, rotary: Rotary, head_dim: int) -> Number:
        return self._record(g.Rope((x,), rotary, head_dim))

    def attention(
        self, q: Number, k: Number, v: Number, *, layer: int, head_dim: int, scale: float, window: int | None = None
    ) -> Number:
        return self._record(g.Attention((q, k, v), layer, head_dim, scale, window))

    def gated(self, gate: Number, up: Number, activation: Activation) -> Number:
        return self._record(g.Gated((gate, up), activation))

    def add(self, a: Number, b: Number) -> Number:
        return self._record(g.Add((a, b)))

    def select(self, x: Number) -> Number:
        return self._record(g.Select((x,)))


def record(model: DecoderModel) -> g.Graph:
    """The graph of one step of the model, shapes inferred and checked."""
    recorder = Recorder()
    model.forward(recorder)
    return recorder.graph()
