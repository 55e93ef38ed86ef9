"""What calibration keeps of the rows that enter a linear layer, in a fixed order of sums: the same to the bit whatever
the number of threads and the instruction set.

Not here: whose rows, which is `observe.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honed.backends.native_piece import RowBatch, run_piece
from honed.encodings.dense import Dense
from honed.native import extension
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import FloatRows, Linear
from honed.ops.values import Value, Weight

_GRAM_ROWS = 512
"""Rows whose outer products are summed in float32, which is fast; sums of those are float64."""


def square_sums(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each column of [rows, features], the sum of x * x."""
    sums: NDArray[np.float64] = extension.column_squares(rows)
    return sums


def mean_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Between the rows of two values of one shape, 0 where one of them is zero."""
    total = 0.0
    for first in range(0, len(a), _GRAM_ROWS):
        one, other = (part[first : first + _GRAM_ROWS].astype(np.float64) for part in (a, b))
        sizes = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
        total += float(((one * other).sum(axis=1) / np.where(sizes > 0, sizes, 1.0)).sum())
    return total / len(a)


def outer_sums(rows: NDArray[np.float32], threads: int) -> NDArray[np.float64]:
    """The sum of the outer products of the rows with themselves, [features, features]: as a linear layer of the
    executor whose weight is its own input."""
    count, features = rows.shape
    sums: NDArray[np.float64] = np.zeros((features, features))
    for first in range(0, count, _GRAM_ROWS):
        part = np.ascontiguousarray(rows[first : first + _GRAM_ROWS].T)
        sums += _product(part, threads)
    return sums


def _product(columns: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """columns @ columns.T"""
    features, count = columns.shape
    statements: list[Statement] = []
    values: list[Value] = []
    operations: tuple[Operation, ...] = (
        FloatRows((), "columns", count),
        Linear((0,), Weight("columns", (features, count)), None),
    )
    for number, operation in enumerate(operations):
        values.append(operation.infer(values))
        statements.append(Statement(number, operation, values[-1]))
    graph = Graph(tuple(statements), {"product": 1})
    alone = np.arange(features, dtype=np.int32)
    batch = RowBatch({"columns": columns}, np.zeros(features, np.int32), alone)
    return run_piece(graph, {"columns": Dense(columns, "float32")}, batch, threads)["product"]
