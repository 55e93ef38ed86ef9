"""The operations that `legalize.py` and `fuse.py` put in the place of recorded ones: what the executor has ops for.

Each has the rule of its shape, as those of `ops/table.py` have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from honed.ops.operation import Operation
from honed.ops.table import Combine, Embedding
from honed.ops.values import AttentionSpec, GatedActivation, Rotary, Value, Weight
from honed.records import dataclass

Epilogue = Literal["store", "add", "gated_silu", "gated_gelu_tanh", "gated_gelu", "gated_clamped_silu"]
GATED: dict[Epilogue, GatedActivation] = {
    "gated_silu": "silu",
    "gated_gelu_tanh": "gelu_tanh",
    "gated_gelu": "gelu",
    "gated_clamped_silu": "clamped_silu",
}


@dataclass(frozen=True)
class Part:
    """One linear layer of a matmul that may hold several."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class Concat(Operation):
    """Inputs side by side in one row. Costs nothing: each input is computed into its columns."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        if not inputs or len({(self.floats(x).rows, x.copies) for x in inputs}) != 1:
            raise self.wrong("needs operands that have the same rows")
        return replace(inputs[0], width=sum(x.width for x in inputs))


@dataclass(frozen=True)
class Copy(Operation):
    """Input x, once more: where it is wanted in columns that it cannot be computed into."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return self.floats(x)


@dataclass(frozen=True)
class AddedEmbedding(Operation):
    """Input x, to which the rows that `embedding` looks up are added in its place."""

    embedding: Embedding

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.embedding.weights

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return self.alike((x, self.embedding.infer(())))


@dataclass(frozen=True)
class Quantize(Operation):
    """Input x; int8 with one scale a row, or one for each `group` columns."""

    group: int | None

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return replace(self.floats(x), quantized=True, group=self.group)


@dataclass(frozen=True)
class NormQuantize(Operation):
    """Input x; RmsNorm of whole rows, then Quantize."""

    weight: Weight
    eps: float
    group: int | None

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        if self.runs(self.floats(x), self.weight) != 1:
            raise self.wrong(f"weight {self.weight.name} has {self.weight.shape[0]} values for rows of {x.width}")
        return replace(x, quantized=True, group=self.group)


@dataclass(frozen=True)
class Matmul(Operation):
    """Input x, and with the epilogue add the residual, which the result is added to in its place.

    With it the result is multiplied by `factor` first. The outputs of the parts stand side by side; with a gated
    epilogue the two parts are gate and up and the output is activation(gate) * up.
    """

    parts: tuple[Part, ...]
    epilogue: Epilogue
    factor: float = 1.0

    @property
    def weights(self) -> tuple[Weight, ...]:
        return tuple(weight for part in self.parts for weight in (part.weight, part.bias) if weight is not None)

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, *rest = self.operands(inputs, 2 if self.epilogue == "add" else 1)
        result = Value(x.rows, product_width(self, x, self.parts, self.epilogue), copies=x.copies)
        if rest and rest[0] != result:
            raise self.wrong(f"the residual is {rest[0]}, the result {result}")
        return result


def product_width(operation: Operation, x: Value, parts: Sequence[Part], epilogue: Epilogue) -> int:
    """Columns that an operation gives which multiplies rows by these parts side by side."""
    widths = [operation.outputs(x, part.weight, part.bias) for part in parts]
    if epilogue not in GATED:
        return sum(widths)
    if len(widths) != 2 or widths[0] != widths[1]:
        raise operation.wrong(f"a gated epilogue needs two parts of one width, not {widths}")
    return widths[0]


@dataclass(frozen=True)
class ExpertMatmul(Operation):
    """Inputs x, routing. Of each copy of a row the product with the parts of its expert, as `Matmul` makes it; there
    is no epilogue add."""

    experts: tuple[tuple[Part, ...], ...]
    epilogue: Epilogue

    @property
    def weights(self) -> tuple[Weight, ...]:
        parts = (part for parts in self.experts for part in parts)
        return tuple(weight for part in parts for weight in (part.weight, part.bias) if weight is not None)

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, by = self.operands(inputs, 2)
        if self.routing(by, x).width != x.copies or by.experts != len(self.experts):
            raise self.wrong(f"{len(self.experts)} experts and {x.copies} copies of a row do not fit the routing {by}")
        widths = {product_width(self, x, parts, self.epilogue) for parts in self.experts}
        if len(widths) != 1 or self.epilogue == "add":
            raise self.wrong(f"experts differ in their outputs, {sorted(widths)}, or add them to a residual")
        return Value(x.rows, widths.pop(), copies=x.copies)


@dataclass(frozen=True)
class AddedCombine(Operation):
    """Inputs x, routing, and the residual, which what the experts gave is added to in its place."""

    def infer(self, inputs: Sequence[Value]) -> Value:
        x, by, residual = self.operands(inputs, 3)
        return self.alike((residual, Combine((0, 1)).infer((x, by))))


@dataclass(frozen=True)
class PackedAttention(Operation):
    """Input q, k and v side by side. Norm of each head, rotation, write of keys and values, attention.

    rotary None: no rotation. cache None: over the rows of the batch, whose keys and values are kept for the step.
    """

    rotary: Rotary | None
    q_norm: Weight | None
    k_norm: Weight | None
    eps: float
    spec: AttentionSpec
    cache: int | None
    heads: int
    kv_heads: int

    @property
    def has_effect(self) -> bool:
        return self.cache is not None

    @property
    def weights(self) -> tuple[Weight, ...]:
        return (*super().weights, *self.spec.weights)

    def infer(self, inputs: Sequence[Value]) -> Value:
        (qkv,) = self.operands(inputs, 1)
        size = self.spec.head_dim
        if self.tokens(qkv).width != (self.heads + 2 * self.kv_heads) * size:
            raise self.wrong(f"{self.heads} + 2 * {self.kv_heads} heads of {size} do not fill a row of {qkv.width}")
        if self.rotary is not None and 2 * len(self.rotary.inverse_frequencies) > size:
            raise self.wrong(f"head_dim {size} is narrower than its rotary")
        for norm in (self.q_norm, self.k_norm):
            if norm is not None and self.vector(norm) != size:
                raise self.wrong(f"weight {norm.name} has {norm.shape[0]} values for heads of {size}")
        self.attends(self.spec, self.heads, self.kv_heads)
        return Value("tokens", self.heads * size)


@dataclass(frozen=True)
class PackedGated(Operation):
    """Input gate and up side by side."""

    activation: GatedActivation

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        if self.floats(x).width % 2:
            raise self.wrong(f"gate and up must be equally wide, and {x.width} is odd")
        return replace(x, width=x.width // 2)
