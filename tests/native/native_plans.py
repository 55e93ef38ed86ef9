"""Small plans for the tests of the extension: the shortest way from a matrix to its product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.native import extension

native: Any = extension
"""Untyped here, so that tests can hand it what its types forbid."""

Floats = NDArray[np.float32]


def ints(values: Sequence[int] | range) -> NDArray[np.int32]:
    return np.array(list(values), dtype=np.int32)


def table(rows: Floats) -> Any:
    return native.table(np.ascontiguousarray(rows, dtype=np.float32), "float32")


def executor(plan: Any, *, pages: int = 4, max_tokens: int = 64, threads: int = 1, isa: str | None = None) -> Any:
    """An executor with a cache of its own; the plan has one layer, one kv head and heads of 8."""
    return native.Executor(plan, native.Cache(1, 1, 8, pages), max_tokens, max_tokens, threads, isa)


def run_all_rows(runner: Any, tokens: int) -> Floats:
    """Token t is row t of the table, all of one sequence, and every row's result is asked for."""
    rows = ints(range(tokens))
    pages = ints(range(-(-tokens // 32))).reshape(1, -1)
    result: Floats = runner.run(rows, rows, np.zeros(tokens, dtype=np.int32), pages, rows)
    return result


def matmul_plan(
    x: Floats,
    matrix: Any,
    *,
    columns: int,
    quantized: bool,
    activation_group: int = 0,
    bias: Floats | None = None,
    epilogue: int = 0,
    output_column: int = 0,
) -> Any:
    """embed, select, quantize where the weight wants it, matmul: the rows of x times the matrix."""
    width = x.shape[1]
    weights = [table(x), matrix]
    if bias is not None:
        weights.append(native.vector(bias))
    numbers = [1] if bias is None else [1, 2]
    ops = [native.Op("embed", 0, 0, [0], [width]), native.Op("select", 0, 1, [], [width])]
    slots = [native.Slot("f32", "tokens", width, 0, 0), native.Slot("f32", "selected", width, 0, 1)]
    if quantized:
        ops.append(native.Op("quantize", 1, 2, [], [width, activation_group]))
        slots.append(native.Slot("quantized", "selected", width, activation_group, 2))
    sizes = [width, columns, epilogue, activation_group, output_column]
    output = len(slots)
    ops.append(native.Op("matmul", output - 1, output, numbers, sizes))
    slots.append(native.Slot("f32", "selected", columns, 0, output))
    return native.Plan(ops, slots, weights, 1, 1, 8, x.shape[0], columns)
