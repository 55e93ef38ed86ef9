"""The layers of a model, read off its recorded graph: statements between two values, each of which is all that the rest
of the model needs. In a decoder the residual stream.

Which layer a statement is of follows from the names of its weights, whose beginning a family says. Not here: blocks of
linear layers, of which a layer has one or more (`blocks.py`), and what becomes of a config (`passes/prune_layers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from honed.errors import UnsupportedError
from honed.ops.graph import Graph, Statement
from honed.ops.table import Attention


@dataclass(frozen=True)
class Layer:
    """Its statements, the number of the value that enters them, and of the one that leaves them."""

    statements: tuple[Statement, ...]
    entering: int
    leaving: int

    @property
    def window(self) -> int | None:
        """How many keys behind it a row sees; None for all."""
        return next(
            (one.operation.spec.before for one in self.statements if isinstance(one.operation, Attention)), None
        )


def layer_of(name: str, prefix: str) -> int | None:
    """The number of the layer that a weight is of; None for one that is of none."""
    number, dot, _ = name.removeprefix(prefix).partition(".")
    return int(number) if name.startswith(prefix) and dot and number.isdecimal() else None


def find_layers(graph: Graph, prefix: str) -> tuple[Layer, ...]:
    """In their order; together with what stands before the first and after the last they are the whole graph.

    UnsupportedError where more than one value goes from a layer to the next.
    """
    ends = _last_uses(graph)
    of_layers = [_number(statement, prefix) for statement in graph]
    count = max((number + 1 for number in of_layers if number is not None), default=0)
    found: list[Layer] = []
    first = next((place for place, number in enumerate(of_layers) if number == 0), 0)
    for number in range(count):
        place = max((place for place, one in enumerate(of_layers) if one == number), default=first)
        entering = _alive(graph, ends, first - 1)
        while place < len(graph.statements) and len(_alive(graph, ends, place)) != 1:
            place += 1
        leaving = _alive(graph, ends, place)
        if len(entering) != 1 or len(leaving) != 1:
            raise UnsupportedError(f"{prefix}{number}: more than one value enters or leaves the layer")
        found.append(Layer(graph.statements[first : place + 1], entering[0], leaving[0]))
        first = place + 1
    return tuple(found)


def without_layers(graph: Graph, layers: Sequence[Layer], removed: Collection[int]) -> tuple[Statement, ...]:
    """The statements that are left, where what enters a removed layer goes on to the next one. Caches are numbered
    anew, in the order in which they are used."""
    gone = {statement.number for number in removed for statement in layers[number].statements}
    stands_for: dict[int, int] = {}
    for number in sorted(removed):
        entering = layers[number].entering
        stands_for[layers[number].leaving] = stands_for.get(entering, entering)
    caches: dict[int, int] = {}
    found = []
    for statement in graph:
        if statement.number in gone:
            continue
        operation = statement.operation
        operation = replace(operation, inputs=tuple(stands_for.get(number, number) for number in operation.inputs))
        if isinstance(operation, Attention) and operation.cache is not None:
            operation = replace(operation, cache=caches.setdefault(operation.cache, len(caches)))
        found.append(replace(statement, operation=operation))
    return tuple(found)


def renumbered(prefix: str, kept: Sequence[int]) -> Callable[[str], str]:
    """What a weight is called when only these layers are left."""
    places = {number: place for place, number in enumerate(kept)}

    def called(name: str) -> str:
        number = layer_of(name, prefix)
        return name if number is None else f"{prefix}{places[number]}{name[len(f'{prefix}{number}') :]}"

    return called


def _number(statement: Statement, prefix: str) -> int | None:
    numbers = {layer_of(weight.name, prefix) for weight in statement.operation.weights}
    return next((number for number in numbers if number is not None), None)


def _last_uses(graph: Graph) -> dict[int, int]:
    """Of each value, the place of the statement that reads it last; results are read at the end."""
    found = {number: place for place, one in enumerate(graph) for number in one.operation.inputs}
    return found | dict.fromkeys(graph.outputs.values(), len(graph.statements))


def _alive(graph: Graph, ends: dict[int, int], place: int) -> list[int]:
    """The values that are there after a statement and read later."""
    before = graph.statements[: place + 1]
    return [statement.number for statement in before if ends.get(statement.number, -1) > place]
