"""The graph that recording makes and planning rewrites: statements in order, each giving one value, and what is asked
for by name.

A value is named by a number that stays the same through all rewriting, so that a pass replaces, inserts or removes
statements without renumbering the others. Whatever is to be known of a model is read here: its weights, who reads what.
An op that a reader does not know is still an operation with inputs, weights and a result, and gets the careful answer.
Not here: what ops mean (`reference.py`) and memory (`plan/buffers.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from honed.errors import PlanError
from honed.ops.operation import Operation
from honed.ops.values import Value, Weight
from honed.records import dataclass

AnyOperation = TypeVar("AnyOperation", bound=Operation)


@dataclass(frozen=True)
class Statement:
    """One value and how it is computed."""

    number: int
    operation: Operation
    value: Value


@dataclass(frozen=True)
class Graph:
    """Statements in the order they run, and by name the values that are its results."""

    statements: tuple[Statement, ...]
    outputs: Mapping[str, int]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.statements)

    def output(self, name: str) -> Statement:
        """The statement that gives a result. PlanError where there is none of that name."""
        statements = self.by_number()
        if name not in self.outputs or self.outputs[name] not in statements:
            given = ", ".join(self.outputs) or "nothing"
            raise PlanError(f"graph: gives no {name}; it gives {given}")
        return statements[self.outputs[name]]

    def giving(self, *names: str) -> Graph:
        """What is needed for these results (PlanError as of `output`)."""
        return Graph(self.statements, {name: self.output(name).number for name in names}).pruned()

    def pruned(self) -> Graph:
        """Without the statements that no result needs and that have no effect."""
        kept: list[Statement] = []
        used = set(self.outputs.values())
        for statement in reversed(self.statements):
            if statement.number in used or statement.operation.has_effect:
                kept.append(statement)
                used.update(statement.operation.inputs)
        return replace(self, statements=tuple(reversed(kept)))

    def by_number(self) -> dict[int, Statement]:
        return {statement.number: statement for statement in self.statements}

    def users(self) -> dict[int, list[Statement]]:
        """For each value, the statements that read it, in order."""
        found: defaultdict[int, list[Statement]] = defaultdict(list)
        for statement in self.statements:
            for number in dict.fromkeys(statement.operation.inputs):
                found[number].append(statement)
        return found

    def readers(self) -> Readers:
        return Readers(self)

    def operations(self, kind: type[AnyOperation]) -> Iterator[AnyOperation]:
        """Those of one kind, in order."""
        return (statement.operation for statement in self.statements if isinstance(statement.operation, kind))

    def weights(self) -> Mapping[str, Weight]:
        """Every weight by its name, in the order of first use."""
        return {weight.name: weight for statement in self.statements for weight in statement.operation.weights}

    def next_number(self) -> int:
        return max((statement.number for statement in self.statements), default=-1) + 1


class Readers:
    """Who reads each value of a graph, whose results are read once more at its end."""

    def __init__(self, graph: Graph) -> None:
        self._users = graph.users()
        self._results = frozenset(graph.outputs.values())

    def only(self, number: int, reader: Statement) -> bool:
        """Whether nothing else reads the value."""
        return self._users.get(number) == [reader] and number not in self._results

    def last(self, number: int, reader: Statement) -> bool:
        """Whether nothing reads the value after that statement, which reads it."""
        users = self._users.get(number, [])
        return users[-1:] == [reader] and number not in self._results

    def all_are(self, number: int, kind: type[Operation] | tuple[type[Operation], ...]) -> bool:
        """Whether it is read by operations of that kind alone."""
        users = self._users.get(number, ())
        return number not in self._results and all(isinstance(user.operation, kind) for user in users)


def reading(operation: Operation, old: int, new: int) -> Operation:
    """The operation with value `new` read in place of `old`."""
    if old == new or old not in operation.inputs:
        return operation
    return replace(operation, inputs=tuple(new if number == old else number for number in operation.inputs))
