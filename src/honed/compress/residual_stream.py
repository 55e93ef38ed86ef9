"""What reads and what writes the residual stream of a model, read off its recorded graph; no list of names is kept.

The stream starts as rows of embedding tables. Everything that is added to it must come from a linear layer, and
everything that is made of it must go through a norm of whole rows into linear layers: then it may be turned by an
orthogonal matrix, since such a norm gives a turned row turned. Where that is not so, the op that stands in the way is
named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from honed.compress.linears import find_linears
from honed.errors import UnsupportedError
from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import (
    Add,
    Combine,
    Dispatch,
    Embedding,
    ExpertLinear,
    LayerNorm,
    Linear,
    RmsNorm,
    Scale,
    Select,
)
from honed.ops.values import Weight


@dataclass(frozen=True)
class Layer:
    """A matrix of a linear layer, and its bias."""

    weight: Weight
    bias: Weight | None


@dataclass(frozen=True)
class Reader:
    """A layer that reads what `norm` makes of the stream, times `factor`."""

    layer: Layer
    norm: Weight
    shift: Weight | None
    """The bias of the norm."""
    factor: float


@dataclass(frozen=True)
class ResidualStream:
    """`tables` have its rows, `writers` add to it. centered: a norm subtracts the mean of a row. A tied head is among
    the readers under the name of its table."""

    tables: tuple[Weight, ...]
    readers: tuple[Reader, ...]
    writers: tuple[Layer, ...]
    centered: bool

    @property
    def width(self) -> int:
        return self.tables[0].shape[1]

    @property
    def norms(self) -> tuple[Weight, ...]:
        return tuple(dict.fromkeys(reader.norm for reader in self.readers))

    @property
    def shifts(self) -> tuple[Weight, ...]:
        return tuple(dict.fromkeys(reader.shift for reader in self.readers if reader.shift is not None))

    def keeps(self, shift: Weight) -> bool:
        """Whether a norm has to go on adding it, as a layer without a bias reads the result: a head does."""
        return any(reader.layer.bias is None for reader in self.readers if reader.shift == shift)


def find_residual_stream(model: Model) -> ResidualStream:
    """UnsupportedError names the op or the weight because of which the stream of the model cannot be turned."""
    return _Search(model).run()


@dataclass(frozen=True)
class _Normed:
    norm: Weight
    shift: Weight | None
    factor: float


class _Search:
    """Goes through the graph once."""

    def __init__(self, model: Model) -> None:
        self._graph = main_graph(model)
        self._statements, self._users = self._graph.by_number(), self._graph.users()
        linears = find_linears(model)
        self._tied = linears.embedding.name if linears.tied else None
        self._stream: set[int] = set()
        self._normed: dict[int, _Normed] = {}
        self._tables: list[Weight] = []
        self._readers: list[Reader] = []
        self._writers: list[Layer] = []
        self._centered = False

    def run(self) -> ResidualStream:
        for statement in self._graph:
            self._visit(statement)
        for number in self._graph.outputs.values():
            if number in self._stream or number in self._normed:
                raise _in_the_way(self._statements[number].operation, "is a result of the model itself")
        self._check_uses(self._graph)
        return ResidualStream(tuple(self._tables), tuple(self._readers), tuple(self._writers), self._centered)

    def _visit(self, statement: Statement) -> None:
        operation, number = statement.operation, statement.number
        if isinstance(operation, Embedding):
            self._tables.append(operation.table)
            self._stream.add(number)
        elif any(read in self._normed for read in operation.inputs):
            self._visit_reader(operation, number)
        elif any(read in self._stream for read in operation.inputs):
            self._visit_stream(operation, statement)

    def _visit_stream(self, operation: Operation, statement: Statement) -> None:
        match operation:
            case RmsNorm(weight=weight) if weight.shape[0] == statement.value.width:
                self._normed[statement.number] = _Normed(weight, None, 1.0)
            case LayerNorm(weight=weight, bias=bias):
                self._normed[statement.number] = _Normed(weight, bias, 1.0)
                self._centered = True
            case Add(inputs=inputs):
                for read in inputs:
                    if read not in self._stream:
                        self._writers += self._written(read, statement)
                self._stream.add(statement.number)
            case Scale() | Select():
                self._stream.add(statement.number)
            case _:
                raise _in_the_way(operation, "reads the residual stream without a norm")

    def _visit_reader(self, operation: Operation, number: int) -> None:
        behind, others = self._normed.get(operation.inputs[0]), operation.inputs[1:]
        if behind is None or any(read in self._normed or read in self._stream for read in others):
            raise _in_the_way(operation, "reads what a norm makes of the residual stream")
        match operation:
            case Select() | Dispatch():
                self._normed[number] = behind
            case Scale(factor=factor):
                self._normed[number] = _Normed(behind.norm, behind.shift, behind.factor * factor)
            case Linear() | ExpertLinear():
                self._readers += (
                    Reader(layer, behind.norm, behind.shift, behind.factor) for layer in _layers(operation)
                )
            case _:
                raise _in_the_way(operation, "reads what a norm makes of the residual stream")

    def _written(self, number: int, reader: Statement) -> Iterator[Layer]:
        """The layers that give a value which is added to the stream, and goes nowhere else."""
        operation = self._statements[number].operation
        if self._users[number] != [reader] or number in self._graph.outputs.values() or number in self._normed:
            raise _in_the_way(operation, "is added to the residual stream, and read elsewhere")
        match operation:
            case Linear() | ExpertLinear():
                yield from _layers(operation)
            case Scale(inputs=(inner,)) | Combine(inputs=(inner, _)):
                yield from self._written(inner, self._statements[number])
            case Add(inputs=inputs):
                for inner in inputs:
                    yield from self._written(inner, self._statements[number])
            case _:
                raise _in_the_way(operation, "stands between a linear layer and the residual stream")

    def _check_uses(self, graph: Graph) -> None:
        uses = Counter(weight.name for statement in graph for weight in statement.operation.weights)
        layers = (*(reader.layer for reader in self._readers), *self._writers)
        biases = (layer.bias for layer in layers if layer.bias is not None)
        norms = (weight for reader in self._readers for weight in (reader.norm, reader.shift) if weight is not None)
        for weight in (*self._tables, *(layer.weight for layer in layers), *biases, *norms):
            if uses[weight.name] != (2 if weight.name == self._tied else 1):
                raise UnsupportedError(
                    f"{weight.name}: is used {uses[weight.name]} times, and cannot be turned for one"
                )


def _layers(operation: Linear | ExpertLinear) -> Iterator[Layer]:
    if isinstance(operation, Linear):
        yield Layer(operation.weight, operation.bias)
        return
    biases = operation.biases or (None,) * len(operation.matrices)
    for pair in zip(operation.matrices, biases, strict=True):
        yield Layer(*pair)


def _in_the_way(operation: Operation, problem: str) -> UnsupportedError:
    names = "".join(f" {weight.name}" for weight in operation.weights[:1])
    return UnsupportedError(f"{operation.name}{names}: {problem}, which therefore cannot be turned")
