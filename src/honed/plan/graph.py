"""The graph that recording makes and fusing rewrites: statements in order, each giving one value.

A value is named by a number that stays the same through all rewriting, so that a pass replaces, inserts or removes
statements without renumbering the others. The first group of operations are those of `ops/table.py`; the second
those that `legalize.py` and `fuse.py` put in their place, which are what the executor has ops for.
Not here: shapes (`infer.py`) and memory (`buffers.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from honed.errors import PlanError
from honed.ops.table import Activation, Rotary, Weight
from honed.plan.plain import Plain
from honed.records import dataclass

RowKind = Literal["tokens", "selected"]
Epilogue = Literal["store", "add", "gated_silu", "gated_gelu_tanh"]


@dataclass(frozen=True, eq=False, repr=False)
class Operation(Plain):
    """`inputs` are the numbers of the values read, in the order that the class names."""

    inputs: tuple[int, ...]

    @property
    def name(self) -> str:
        return type(self).__name__


# ---- as recorded ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(Operation):
    """No inputs."""

    table: Weight


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Operation):
    """Input x."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True, eq=False, repr=False)
class RmsNorm(Operation):
    """Input x."""

    weight: Weight
    eps: float


@dataclass(frozen=True, eq=False, repr=False)
class Rope(Operation):
    """Input x."""

    rotary: Rotary
    head_dim: int


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Operation):
    """Inputs q, k, v."""

    layer: int
    head_dim: int
    scale: float
    window: int | None


@dataclass(frozen=True, eq=False, repr=False)
class Gated(Operation):
    """Inputs gate, up."""

    activation: Activation


@dataclass(frozen=True, eq=False, repr=False)
class Add(Operation):
    """Inputs a, b."""


@dataclass(frozen=True, eq=False, repr=False)
class Select(Operation):
    """Input x."""


# ---- as fused ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Part(Plain):
    """One linear layer of a matmul that may hold several."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True, eq=False, repr=False)
class Concat(Operation):
    """Inputs side by side in one row. Costs nothing: each input is computed into its columns."""


@dataclass(frozen=True, eq=False, repr=False)
class Quantize(Operation):
    """Input x; int8 with one scale a row, or one for each `group` columns."""

    group: int | None


@dataclass(frozen=True, eq=False, repr=False)
class NormQuantize(Operation):
    """Input x; RmsNorm, then Quantize."""

    weight: Weight
    eps: float
    group: int | None


@dataclass(frozen=True, eq=False, repr=False)
class Matmul(Operation):
    """Input x, and with the epilogue add the residual, which the result is added to in its place.

    The outputs of the parts stand side by side; with a gated epilogue the two parts are gate and up and the output
    is activation(gate) * up.
    """

    parts: tuple[Part, ...]
    epilogue: Epilogue


@dataclass(frozen=True, eq=False, repr=False)
class PackedAttention(Operation):
    """Input q, k and v side by side. Norm of each head, rotation, KV write, attention."""

    rotary: Rotary
    q_norm: Weight | None
    k_norm: Weight | None
    eps: float
    layer: int
    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    window: int | None


@dataclass(frozen=True, eq=False, repr=False)
class PackedGated(Operation):
    """Input gate and up side by side."""

    activation: Activation


# ---- the graph -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Value(Plain):
    """What a value holds: a row for each token or each selected token, of `width` columns."""

    rows: RowKind
    width: int
    quantized: bool = False
    group: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Statement(Plain):
    """One value and how it is computed."""

    number: int
    operation: Operation
    value: Value


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Plain):
    """Statements in the order they run; the last one gives the logits."""

    statements: tuple[Statement, ...]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.statements)

    @property
    def output(self) -> Statement:
        if not self.statements:
            raise PlanError("graph: holds no statements, must end in the logits")
        return self.statements[-1]

    def by_number(self) -> dict[int, Statement]:
        return {statement.number: statement for statement in self.statements}

    def users(self) -> dict[int, list[Statement]]:
        """For each value, the statements that read it, in order."""
        found: defaultdict[int, list[Statement]] = defaultdict(list)
        for statement in self.statements:
            for number in dict.fromkeys(statement.operation.inputs):
                found[number].append(statement)
        return found

    def next_number(self) -> int:
        return max((statement.number for statement in self.statements), default=-1) + 1


def reading(operation: Operation, old: int, new: int) -> Operation:
    """The operation with value `new` read in place of `old`."""
    if old == new or old not in operation.inputs:
        return operation
    return replace(operation, inputs=tuple(new if number == old else number for number in operation.inputs))
