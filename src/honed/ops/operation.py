"""What every operation is: the values that it reads, the weights that it names, and the rule that gives its result.

`table.py` has those that models call, `plan/operations.py` those that a plan makes of them. Below are the checks that
the rules of both are written with.
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.errors import PlanError
from honed.ops.values import AttentionSpec, Value, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Operation:
    """`inputs` are the numbers of the values read, in the order that the class names."""

    inputs: tuple[int, ...]

    @property
    def has_effect(self) -> bool:
        """Whether it does more than give a value, and so is kept where nothing reads that value."""
        return False

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Those that it names, in the order of its fields."""
        return tuple(value for value in vars(self).values() if isinstance(value, Weight))

    @property
    def multiplied(self) -> tuple[Weight, ...]:
        """Those of its weights that rows are multiplied by as matrices."""
        return ()

    def infer(self, inputs: Sequence[Value]) -> Value:
        """What it gives for values of these kinds. PlanError, naming both, where they do not fit it or each other."""
        raise self.wrong("has no rule for its shape")

    # ---- what rules are made of

    def operands(self, inputs: Sequence[Value], count: int) -> Sequence[Value]:
        if len(inputs) != count:
            raise self.wrong(f"takes {count} operands, not {len(inputs)}")
        return inputs

    def floats(self, x: Value) -> Value:
        if x.quantized:
            raise self.wrong("takes float32 rows, and its operand is quantized")
        if x.experts:
            raise self.wrong("takes float32 rows, and its operand is a routing")
        return x

    def alike(self, inputs: Sequence[Value]) -> Value:
        """Two float operands of one shape, which the result has too."""
        a, b = self.operands(inputs, 2)
        if self.floats(a) != self.floats(b):
            raise self.wrong(f"operands differ: {a} and {b}")
        return a

    def tokens(self, x: Value) -> Value:
        """Float rows, one for each token."""
        if self.floats(x).rows != "tokens":
            raise self.wrong(f"takes a row for each token, and its operand has rows of {x.rows}")
        if x.copies != 1:
            raise self.wrong(f"takes a row for each token, and its operand has {x.copies}")
        return x

    def routing(self, x: Value, routed: Value) -> Value:
        """A routing of the rows of another value, or of those that `routed` has a copy of for each expert."""
        if not x.experts:
            raise self.wrong("takes a routing, and its operand is rows of values")
        if routed.rows != x.rows:
            raise self.wrong(f"rows of {routed.rows} cannot go where a routing of {x.rows} says")
        return x

    def matrix(self, weight: Weight) -> tuple[int, int]:
        if len(weight.shape) != 2 or min(weight.shape) < 1:
            raise self.wrong(f"weight {weight.name} must be a matrix, and its shape is {weight.shape}")
        return weight.shape[0], weight.shape[1]

    def vector(self, weight: Weight) -> int:
        if len(weight.shape) != 1 or min(weight.shape) < 1:
            raise self.wrong(f"weight {weight.name} must be a vector, and its shape is {weight.shape}")
        return weight.shape[0]

    def outputs(self, x: Value, weight: Weight, bias: Weight | None) -> int:
        """Columns of x @ weight.T + bias."""
        out_features, in_features = self.matrix(weight)
        if in_features != x.width:
            raise self.wrong(f"weight {weight.name} takes {in_features} features, and the row has {x.width}")
        if bias is not None and self.vector(bias) != out_features:
            raise self.wrong(f"bias {bias.name} has {bias.shape[0]} values for {out_features} outputs")
        return out_features

    def runs(self, x: Value, weight: Weight) -> int:
        """How many times a vector fits into a row, which it must do without a rest."""
        width = self.vector(weight)
        if x.width % width or not x.width:
            raise self.wrong(f"weight {weight.name} has {width} values for rows of {x.width}")
        return x.width // width

    def attends(self, spec: AttentionSpec, heads: int, kv_heads: int) -> None:
        """Checks that query heads share KV heads evenly, and what is asked of their scores."""
        if kv_heads < 1 or heads % kv_heads:
            raise self.wrong(f"{heads} query heads are not a multiple of {kv_heads} KV heads")
        for name, count in (("before", spec.before), ("after", spec.after)):
            if count is not None and count < 0:
                raise self.wrong(f"{name} {count} must be at least 0")
        if spec.soft_cap is not None and not spec.soft_cap > 0:
            raise self.wrong(f"soft_cap {spec.soft_cap} must be over 0")
        if spec.sinks is not None and self.vector(spec.sinks) != heads:
            raise self.wrong(f"sinks {spec.sinks.name} have {spec.sinks.shape[0]} values for {heads} heads")
        if spec.bias is not None:
            expected = heads * (2 * spec.bias.reach + 1)
            if spec.bias.reach < 0 or self.vector(spec.bias.weight) != expected:
                name, length = spec.bias.weight.name, spec.bias.weight.shape[0]
                raise self.wrong(f"bias {name} has {length} values for {heads} heads and a reach of {spec.bias.reach}")

    def wrong(self, problem: str) -> PlanError:
        return PlanError(f"{self.name}: {problem}")
