"""The op vocabulary: for each op its operands, its attributes, its weights and the rule of its shape.

A model file calls these ops, by way of `record.py`, and nothing else. `reference.py` gives each its meaning in torch;
`plan/` turns them into what the native executor runs. An op whose entry says all that is asked of it here is known
to everything that only reads graphs.

Shapes: T is the number of token rows of the batch, R that of the selected rows, S that of sequences (`values.py`). All
values are float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from honed.ops.operation import Operation
from honed.ops.values import (
    TOKENS,
    Activation,
    AttentionSpec,
    GatedActivation,
    Pooling,
    Rotary,
    Scoring,
    Value,
    Weight,
)
from honed.records import dataclass


@dataclass(frozen=True)
class Embedding(Operation):
    """No inputs. Rows of `table` for the ids that the batch has as its input `ids`: [T, width].

    Id 0 has row `first_row`, so that ids such as positions count from 0 whatever stands before them in the table.
    """

    table: Weight
    ids: str = TOKENS
    first_row: int = 0

    @property
    def bound(self) -> int:
        """Ids are below it."""
        return self.table.shape[0] - self.first_row

    def infer(self, inputs: Sequence[Value]) -> Value:
        self.operands(inputs, 0)
        rows, width = self.matrix(self.table)
        if not 0 <= self.first_row < rows:
            raise self.wrong(f"first_row {self.first_row} is outside the {rows} rows of {self.table.name}")
        return Value("tokens", width)


@dataclass(frozen=True)
class FloatRows(Operation):
    """No inputs. The rows that the batch has as its input `rows`, such as patches of an image: [T, width]."""

    rows: str
    width: int

    def infer(self, inputs: Sequence[Value]) -> Value:
        self.operands(inputs, 0)
        if self.width < 1:
            raise self.wrong(f"width {self.width} must be at least 1")
        return Value("tokens", self.width)


@dataclass(frozen=True)
class Linear(Operation):
    """Input x. x @ weight.T + bias: [rows, in] to [rows, out]."""

    weight: Weight
    bias: Weight | None

    @property
    def multiplied(self) -> tuple[Weight, ...]:
        return (self.weight,)

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return replace(self.floats(x), width=self.outputs(x, self.weight, self.bias))


@dataclass(frozen=True)
class RmsNorm(Operation):
    """Input x. RMSNorm (Zhang and Sennrich 2019) of each consecutive run of len(weight) features; same shape.

    A weight as long as a row normalizes the row; one as long as a head normalizes each head.
    """

    weight: Weight
    eps: float

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        self.runs(self.floats(x), self.weight)
        return x


@dataclass(frozen=True)
class LayerNorm(Operation):
    """Input x. LayerNorm (Ba et al. 2016) of each row; same shape."""

    weight: Weight
    bias: Weight | None
    eps: float

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        for weight in self.weights:
            if self.runs(self.floats(x), weight) != 1:
                raise self.wrong(f"weight {weight.name} has {weight.shape[0]} values for rows of {x.width}")
        return x


@dataclass(frozen=True)
class Rope(Operation):
    """Input x. Rotates every head of x, [T, heads * head_dim], by the position of its token; same shape."""

    rotary: Rotary
    head_dim: int

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        if x.width % self.head_dim or 2 * len(self.rotary.inverse_frequencies) > self.head_dim:
            raise self.wrong(f"head_dim {self.head_dim} does not fit rows of {x.width} or its rotary")
        return self.tokens(x)


@dataclass(frozen=True)
class Attention(Operation):
    """Inputs q, k, v. Attention with grouped query heads, as `spec` says: over the rows of the batch, or over those and
    all earlier ones of their sequences, which the KV cache number `cache` keeps.

    q is [T, heads * head_dim], k and v [T, kv_heads * head_dim]; the result has the shape of q. Caches may differ in
    heads and widths.
    """

    spec: AttentionSpec
    cache: int | None

    @property
    def has_effect(self) -> bool:
        return self.cache is not None

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.spec.weights

    def infer(self, inputs: Sequence[Value]) -> Value:
        size = self.spec.head_dim
        q, k, v = (self.tokens(x) for x in self.operands(inputs, 3))
        if q.width % size or k.width % size or k != v:
            raise self.wrong(f"q {q.width}, k {k.width}, v {v.width} are not whole heads of {size}, k like v")
        self.attends(self.spec, q.width // size, k.width // size)
        if self.cache is not None and self.spec.after != 0:
            raise self.wrong(f"after {self.spec.after}: the keys ahead of a row are not in its cache yet; must be 0")
        return Value("tokens", q.width)


@dataclass(frozen=True)
class Gated(Operation):
    """Inputs gate, up. activation(gate) * up or the like, as `GatedActivation` says, elementwise."""

    activation: GatedActivation

    def infer(self, inputs: Sequence[Value]) -> Value:
        return self.alike(inputs)


@dataclass(frozen=True)
class Activate(Operation):
    """Input x. activation(x), elementwise."""

    activation: Activation

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return self.floats(x)


@dataclass(frozen=True)
class Add(Operation):
    """Inputs a, b. a + b, elementwise."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        return self.alike(inputs)


@dataclass(frozen=True)
class Route(Operation):
    """Input scores, one for each expert. Which `chosen` experts a row goes to (Shazeer et al. 2017): those of the
    greatest scores, of equal ones the first; and what each counts, by `scoring`."""

    chosen: int
    scoring: Scoring

    def infer(self, inputs: Sequence[Value]) -> Value:
        (scores,) = self.operands(inputs, 1)
        if self.floats(scores).copies != 1 or not 1 <= self.chosen <= scores.width:
            raise self.wrong(f"chosen {self.chosen} must be from 1 to the {scores.width} scores of a row")
        return Value(scores.rows, self.chosen, experts=scores.width)


@dataclass(frozen=True)
class Dispatch(Operation):
    """Inputs x, routing. A copy of each row for every expert that it goes to."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, by = self.operands(inputs, 2)
        if x.experts or x.copies != 1:
            raise self.wrong("takes rows of values, one for each that is routed")
        return replace(x, copies=self.routing(by, x).width)


@dataclass(frozen=True)
class ExpertLinear(Operation):
    """Inputs x, routing. Of each copy of a row x @ matrix.T + bias, of the expert that it is for."""

    matrices: tuple[Weight, ...]
    biases: tuple[Weight, ...]

    @property
    def weights(self) -> tuple[Weight, ...]:
        return (*self.matrices, *self.biases)

    @property
    def multiplied(self) -> tuple[Weight, ...]:
        return self.matrices

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, by = self.operands(inputs, 2)
        if self.routing(by, self.floats(x)).width != x.copies or by.experts != len(self.matrices):
            raise self.wrong(
                f"{x.copies} copies of a row and {len(self.matrices)} weights do not fit a routing to {by.width} of "
                f"{by.experts} experts"
            )
        biases = self.biases or (None,) * len(self.matrices)
        widths = {self.outputs(x, *pair) for pair in zip(self.matrices, biases, strict=True)}
        if len(widths) != 1:
            raise self.wrong(f"experts from {self.matrices[0].name} on differ in their outputs: {sorted(widths)}")
        return replace(x, width=widths.pop())


@dataclass(frozen=True)
class Combine(Operation):
    """Inputs x, routing. The copies of each row, each times what its expert counts, summed in ascending order."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, by = self.operands(inputs, 2)
        if self.routing(by, self.floats(x)).width != x.copies:
            raise self.wrong(f"{x.copies} copies of a row do not fit a routing to {by.width} experts")
        return replace(x, copies=1)


@dataclass(frozen=True)
class Scale(Operation):
    """Input x. x * factor, elementwise."""

    factor: float

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        if not math.isfinite(self.factor):
            raise self.wrong(f"factor {self.factor} must be finite")
        return self.floats(x)


@dataclass(frozen=True)
class Select(Operation):
    """Input x. The rows that results are asked for: [T, width] to [R, width]."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return Value("selected", self.tokens(x).width)


@dataclass(frozen=True)
class Pool(Operation):
    """Input x. One row for each sequence, of the mean of its rows, of the first or of the last: [T, width] to
    [S, width]."""

    pooling: Pooling

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return Value("sequences", self.tokens(x).width)
