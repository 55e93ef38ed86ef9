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


_PLAIN: dict[str, dict[str, Any]] = {
    "attention": {"before": None, "after": 0, "soft_cap": 0.0, "sinks": None, "bias": None, "reach": 0},
    "embed": {"ids": 0, "first_row": 0, "epilogue": "store"},
    "matmul": {"bias": None, "epilogue": "store", "activation_group": 0, "output_column": 0, "factor": 1.0},
    "rope_kv": {"pairs": "halves"},
}


def op(name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An op as a plan takes it, plain where nothing else is said: a lookup by the first input that is stored, causal
    attention, a matmul that stores all columns, without bias, rotation of halves."""
    return name, _PLAIN.get(name, {}) | fields


def step_plan(
    ops: list[tuple[str, dict[str, Any]]],
    slots: list[Any],
    weights: list[Any],
    *,
    vocabulary: int,
    output: int,
    caches: list[tuple[int, int, int]] | None = None,
) -> Any:
    """From tokens to logits, with one cache of one head of 8 where nothing else is said."""
    inputs = [native.Input.ids("tokens", vocabulary)]
    return native.Plan(ops, slots, weights, inputs, [("logits", output)], caches or [(1, 8, 8)])


def table(rows: Floats) -> Any:
    return native.table(np.ascontiguousarray(rows, dtype=np.float32), "float32")


def executor(plan: Any, *, pages: int = 4, max_tokens: int = 64, threads: int = 1, isa: str | None = None) -> Any:
    """An executor with a cache of its own; that of the plan is one of one head of 8."""
    return native.Executor(plan, native.Cache([(1, 8, 8)], [pages]), max_tokens, max_tokens, threads, isa)


def run_step(runner: Any, *batch: Any) -> Floats:
    """The logits of a batch: tokens, positions, sequences, page_tables, selected."""
    tokens, *others = batch
    result: Floats = runner.run({"tokens": tokens}, *others)["logits"]
    return result


def run_all_rows(runner: Any, tokens: int) -> Floats:
    """Token t is row t of the table, all of one sequence, and every row's result is asked for."""
    rows = ints(range(tokens))
    pages = ints(range(-(-tokens // 32))).reshape(1, -1)
    return run_step(runner, rows, rows, np.zeros(tokens, dtype=np.int32), pages, rows)


def matmul_plan(
    x: Floats,
    matrix: Any,
    *,
    columns: int,
    quantized: bool,
    activation_group: int = 0,
    bias: Floats | None = None,
    epilogue: str = "store",
    output_column: int = 0,
) -> Any:
    """embed, select, quantize where the weight wants it, matmul: the rows of x times the matrix."""
    width = x.shape[1]
    weights = [table(x), matrix]
    if bias is not None:
        weights.append(native.vector(bias))
    ops = [op("embed", output=0, table=0, width=width), op("select", input=0, output=1, width=width)]
    slots = [native.Slot("f32", "tokens", width, 0, 0), native.Slot("f32", "selected", width, 0, 1)]
    if quantized:
        ops.append(op("quantize", input=1, output=2, width=width, activation_group=activation_group))
        slots.append(native.Slot("quantized", "selected", width, activation_group, 2))
    output = len(slots)
    ops.append(
        op(
            "matmul",
            input=output - 1,
            output=output,
            matrix=1,
            bias=None if bias is None else 2,
            k=width,
            columns=columns,
            epilogue=epilogue,
            activation_group=activation_group,
            output_column=output_column,
        )
    )
    slots.append(native.Slot("f32", "selected", columns, 0, output))
    return step_plan(ops, slots, weights, vocabulary=x.shape[0], output=output)
