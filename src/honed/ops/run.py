"""Walks a recorded graph with one function an op: what such a table of functions is, whatever kind of arrays it has.

Not here: the functions. `reference.py` has those of torch, `compress/observed_ops.py` those that observing needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from honed.errors import PlanError
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation

Step = TypeVar("Step")
Array = TypeVar("Array")
Function = TypeVar("Function", bound=Callable[..., Any])


class Meanings(Generic[Step, Array]):
    """The functions by op: each is given the operation, what holds for the whole step, and an array an operand.

    `where` names the table in errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._functions: dict[type[Operation], Callable[..., Array]] = {}

    def of(self, kind: type[Operation]) -> Callable[[Function], Function]:
        """Registers the function that is decorated."""

        def register(function: Function) -> Function:
            self._functions[kind] = function
            return function

        return register

    def run(self, graph: Graph, step: Step) -> dict[str, Array]:
        """The results of the graph. PlanError, before anything is computed, where an op has no function."""
        self.check(graph)
        values: dict[int, Array] = {}
        self.advance(graph, graph.statements, step, values)
        return {name: values[number] for name, number in graph.outputs.items()}

    def check(self, graph: Graph) -> None:
        """PlanError, which names it, where an op has no function."""
        for statement in graph:
            if type(statement.operation) not in self._functions:
                name = statement.operation.name
                raise PlanError(f"{name}: has no function in {self._where}; write one there")

    def advance(self, graph: Graph, statements: Sequence[Statement], step: Step, values: dict[int, Array]) -> None:
        """Runs some statements of a graph on the values that those before them left, and leaves what those after them
        read and what is a result. Whoever goes through a whole graph part by part has run it."""
        last_users = {number: users[-1].number for number, users in graph.users().items()}
        kept = set(graph.outputs.values())
        for statement in statements:
            operation = statement.operation
            operands = [values[number] for number in operation.inputs]
            values[statement.number] = self._functions[type(operation)](operation, step, *operands)
            for number in set(operation.inputs):
                if last_users[number] == statement.number and number not in kept:
                    del values[number]
