"""Which matrix makes the values of an attention and which reads what is mixed of them, read off the recorded graph.

Attention sums rows of values, feature by feature, so what is done to the features of a head before it can be undone
behind it. Heads of queries that share a head of values share what was done to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.graph import Statement
from honed.ops.table import Attention, Linear
from honed.ops.values import Weight


@dataclass(frozen=True)
class ValueHeads:
    """`values` [heads * width, in], with a `bias` or none, whose head h is read by `output` [out, heads * sharing *
    width] as each of its heads from h * sharing on, `sharing` in all."""

    values: Weight
    bias: Weight | None
    output: Weight
    heads: int
    sharing: int
    width: int

    @property
    def sources(self) -> tuple[int, ...]:
        """Of each head that `output` reads, the head of values that it is mixed of."""
        return tuple(head for head in range(self.heads) for _ in range(self.sharing))


def find_value_heads(model: Model) -> tuple[ValueHeads, ...]:
    """Of every attention whose values come straight from a linear layer and go straight into one, nothing else reads
    them, and both matrices are used once; in the order of the forward pass."""
    graph = main_graph(model)
    statements, users, results = graph.by_number(), graph.users(), frozenset(graph.outputs.values())
    uses = Counter(weight.name for statement in graph for weight in statement.operation.weights)
    found = []
    for statement in graph:
        if not isinstance(statement.operation, Attention) or statement.number in results:
            continue
        made = statements[statement.operation.inputs[2]]
        source, reader = made.operation, _only_linear(users.get(statement.number, ()))
        if not isinstance(source, Linear) or reader is None or statement.operation.inputs.count(made.number) != 1:
            continue
        if users[made.number] != [statement] or made.number in results:
            continue
        if any(uses[weight.name] != 1 for weight in (*source.weights, reader.weight)):
            continue
        width = statement.operation.spec.head_dim
        heads = made.value.width // width
        sharing = statement.value.width // made.value.width
        found.append(ValueHeads(source.weight, source.bias, reader.weight, heads, sharing, width))
    return tuple(found)


def _only_linear(readers: Sequence[Statement]) -> Linear | None:
    operations = [reader.operation for reader in readers]
    return operations[0] if len(operations) == 1 and isinstance(operations[0], Linear) else None
