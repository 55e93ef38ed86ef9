"""What may be taken out of a model unit by unit, read off its recorded graph: the neurons of an MLP, and the heads of
attention with the keys that they share. No list of names is kept.

A unit is some rows of the weights that make it and some columns of the one matrix that reads it, so the rest of the
model never knows of it. What lies between is known to treat each unit by itself; a value that anything else reads, and
a weight that is used twice, keep all of theirs. Whole layers are in `layers.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.graph import Graph, Readers, Statement
from honed.ops.table import Activate, Attention, Gated, Linear, RmsNorm, Rope, Scale
from honed.ops.values import Weight


@dataclass(frozen=True)
class Units:
    """`count` units in a row. rows: of each weight that makes them, matrix or vector, how many rows belong to one.
    consumer: the matrix that reads them, with the same number of columns for each."""

    count: int
    rows: Mapping[str, int]
    consumer: Weight

    @property
    def columns(self) -> int:
        """Of the consumer, for each unit."""
        return self.consumer.shape[1] // self.count

    @property
    def names(self) -> tuple[str, ...]:
        """Of all weights that change with them."""
        return (*self.rows, self.consumer.name)


@dataclass(frozen=True)
class Heads:
    """The heads of one attention: units are the groups of `of_group` query heads that have keys and values in common.
    tied: why they cannot be told apart, None where they can; then there are no units."""

    units: Units | None
    of_group: int
    width: int
    tied: str | None = None


def find_neurons(model: Model) -> tuple[Units, ...]:
    """Those of every MLP, in the order of the graph: what enters a linear layer after an activation, with a gate or
    without. Experts are left alone: which rows they see differs."""
    graph = _Traced(main_graph(model))
    found = []
    for statement in graph.statements:
        if not isinstance(statement.operation, Linear) or statement.value.rows != "tokens":
            continue
        consumer, (inner,) = statement.operation.weight, statement.operation.inputs
        rows = graph.neurons(inner, statement)
        if rows and graph.used_once(*rows, consumer.name):
            found.append(Units(consumer.shape[1], dict.fromkeys(rows, 1), consumer))
    return tuple(found)


def find_heads(model: Model) -> tuple[Heads, ...]:
    """Those of every attention, in the order of the graph."""
    graph = _Traced(main_graph(model))
    return tuple(graph.heads(one) for one in graph.statements if isinstance(one.operation, Attention))


@dataclass(frozen=True)
class _Traced:
    """Goes back from a value to the linear layers that make it, through ops that treat each feature by itself."""

    graph: Graph
    values: Mapping[int, Statement] = field(init=False)
    readers: Readers = field(init=False)
    uses: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        weights = (weight.name for statement in self.graph for weight in statement.operation.weights)
        object.__setattr__(self, "values", self.graph.by_number())
        object.__setattr__(self, "readers", self.graph.readers())
        object.__setattr__(self, "uses", Counter(weights))

    @property
    def statements(self) -> tuple[Statement, ...]:
        return self.graph.statements

    def used_once(self, *names: str) -> bool:
        return all(self.uses[name] == 1 for name in names)

    def neurons(self, number: int, reader: Statement, *, activated: bool = False) -> tuple[str, ...]:
        """The weights whose rows make the features of a value, one each; none where something else is in between, or
        where nothing is activated on the way."""
        if not self.readers.only(number, reader):
            return ()
        statement = self.values[number]
        match statement.operation:
            case Linear() if activated:
                return tuple(weight.name for weight in statement.operation.weights)
            case Gated(inputs=(gate, up)) if gate != up:
                parts = [self.neurons(part, statement, activated=True) for part in (gate, up)]
                return (*parts[0], *parts[1]) if all(parts) else ()
            case Activate(inputs=(x,)):
                return self.neurons(x, statement, activated=True)
            case Scale(inputs=(x,)):
                return self.neurons(x, statement, activated=activated)
            case _:
                return ()

    def heads(self, statement: Statement) -> Heads:
        attention = statement.operation
        assert isinstance(attention, Attention)
        width = attention.spec.head_dim
        groups = self.values[attention.inputs[1]].value.width // width
        of_group = statement.value.width // width // groups
        rows: dict[str, int] = {}
        for number, run in zip(attention.inputs, (of_group * width, width, width), strict=True):
            made = self._projected(number, statement, width)
            if isinstance(made, str):
                return Heads(None, of_group, width, made)
            rows |= dict.fromkeys(made, run)
        for weight in attention.spec.weights:  # a value, or a run of them, for each head
            rows[weight.name] = weight.shape[0] // groups
        consumer = self._reader(statement)
        if consumer is None:
            return Heads(None, of_group, width, "what attention gives is read by more than one linear layer")
        if not self.used_once(*rows, consumer.name):
            return Heads(None, of_group, width, "one of its weights is used elsewhere too")
        return Heads(Units(groups, rows, consumer), of_group, width)

    def _projected(self, number: int, reader: Statement, width: int) -> tuple[str, ...] | str:
        """The weights of the linear layer behind queries, keys or values; or what ties their heads together."""
        statement = self.values[number]
        if not self.readers.only(number, reader):
            return "queries, keys or values are read by something else too"
        match statement.operation:
            case Linear():
                return tuple(weight.name for weight in statement.operation.weights)
            case RmsNorm(inputs=(x,), weight=weight) if weight.shape[0] == width:
                return self._projected(x, statement, width)
            case RmsNorm(weight=weight):
                return f"{weight.name} normalizes all heads together"
            case Rope(inputs=(x,)) | Scale(inputs=(x,)):
                return self._projected(x, statement, width)
            case other:
                return f"{other.name} stands between queries, keys or values and their linear layer"

    def _reader(self, statement: Statement) -> Weight | None:
        for user in self.statements:
            if isinstance(user.operation, Linear) and self.readers.only(statement.number, user):
                return user.operation.weight
        return None
