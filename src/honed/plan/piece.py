"""Statements of a recorded graph as a graph of its own, which runs without those before and after them.

What they read of statements before them is given to it as rows, and keys and values are kept for the rows of a step and
no longer: each sequence is there whole. Not here: what runs it (`backends/native_piece.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import Attention, FloatRows
from honed.ops.values import Value


def cut_out(statements: Sequence[Statement], before: Mapping[int, Value], wanted: Collection[int]) -> Graph:
    """The graph that gives the values `wanted` and computes nothing else, each by its `rows_name`.

    `before` has the values of the statements before. What is read of them is an input of the same name, with a row a
    token: rows of another kind come in by themselves, and what is made of them has a row for each.
    """
    own = {statement.number for statement in statements}
    read = dict.fromkeys(number for statement in statements for number in statement.operation.inputs)
    values: dict[int, Value] = {}
    made: list[Statement] = []

    def add(number: int, operation: Operation) -> None:
        values[number] = operation.infer([values[operand] for operand in operation.inputs])
        made.append(Statement(number, operation, values[number]))

    for number in read:
        if number not in own:
            add(number, FloatRows((), rows_name(number), before[number].width))
    for statement in statements:
        operation = statement.operation
        add(statement.number, replace(operation, cache=None) if isinstance(operation, Attention) else operation)
    return Graph(tuple(made), {rows_name(number): number for number in wanted}).pruned()


def rows_name(number: int) -> str:
    """What the rows of a value are called as an input and as a result."""
    return f"rows of value {number}"
