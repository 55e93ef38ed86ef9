"""A graph run once on the executor: its rows are those of torch, and what it does not know is said before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from honed.backends.native_piece import RowBatch, run_piece, why_not
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.encodings.encode import encode
from honed.encodings.scheme import Int8Scheme
from honed.errors import NativeError, PlanError
from honed.models.recorded import recorded
from honed.ops import reference
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import FloatRows, Linear, Select
from honed.ops.values import Value, Weight
from tiny_encoder import RandomWeights, TinyEncoder
from unknown_op import Unknown

ROWS, INNER, OUTER = 6, 40, 21
MATRIX = Weight("matrix", (OUTER, INNER))


def graph(operations: Sequence[Operation]) -> Graph:
    """One after the other; the last one gives `out`."""
    values: list[Value] = []
    for operation in operations:
        values.append(operation.infer([values[number] for number in operation.inputs]))
    statements = (
        Statement(number, operation, value)
        for number, (operation, value) in enumerate(zip(operations, values, strict=True))
    )
    return Graph(tuple(statements), {"out": len(operations) - 1})


def linear(weight: Encoded, rows: np.ndarray, *, select: bool = False, threads: int = 1) -> np.ndarray:
    inner: list[Operation] = [FloatRows((), "x", INNER), *([Select((0,))] if select else [])]
    made = graph([*inner, Linear((len(inner) - 1,), MATRIX, None)])
    batch = RowBatch({"x": rows}, np.arange(len(rows), dtype=np.int32), np.zeros(len(rows), np.int32))
    return run_piece(made, {"matrix": weight}, batch, threads)["out"]


def values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int8"])
def test_every_weight_is_multiplied_in_full(kind: str) -> None:
    matrix, rows = values(MATRIX.shape, 1), values((ROWS, INNER), 2)
    made: dict[str, Encoded] = {
        "float32": Dense(matrix, "float32"),
        "float16": Dense(matrix.astype(np.float16), "float16"),
        "bfloat16": Dense(float32_to_bfloat16(matrix), "bfloat16"),
        "int8": encode(Dense(matrix, "float32"), Int8Scheme(32), name="matrix"),
    }
    weight = made[kind]
    expected = rows.astype(np.float64) @ weight.decode().astype(np.float64).T
    found = linear(weight, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found, linear(Dense(weight.decode(), "float32"), rows, threads=2))


def test_all_rows_are_selected() -> None:
    matrix, rows = Dense(values(MATRIX.shape, 1), "float32"), values((ROWS, INNER), 2)
    np.testing.assert_array_equal(linear(matrix, rows, select=True), linear(matrix, rows))


def test_an_encoder_gives_what_it_gives_in_torch() -> None:
    model = TinyEncoder()
    weights = RandomWeights(model).weights
    whole = recorded(model, "encode")
    tokens, types = np.arange(20, dtype=np.int32), np.zeros(20, np.int32)
    lengths = [10, 10]
    torch_inputs = {"tokens": torch.from_numpy(tokens).long(), "token_types": torch.from_numpy(types).long()}
    tensors = {name: torch.from_numpy(weight.decode()) for name, weight in weights.items()}
    rows = reference.Rows.whole(torch_inputs, lengths)
    expected = reference.run(whole, reference.Step(tensors, rows, reference.GrowingStore()))
    positions = np.tile(np.arange(10, dtype=np.int32), 2)
    batch = RowBatch({"tokens": tokens, "token_types": types}, positions, np.repeat(np.arange(2, dtype=np.int32), 10))
    assert why_not(whole) is None
    found = run_piece(whole, weights, batch, 1)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_what_the_executor_does_not_know_is_said_without_weights() -> None:
    odd = graph([FloatRows((), "x", INNER), Unknown((0,), Weight("unknown", (INNER,)))])
    reason = why_not(odd)
    assert reason is not None
    assert "Unknown" in reason
    batch = RowBatch({"x": values((2, INNER), 1)}, np.zeros(2, np.int32), np.arange(2, dtype=np.int32))
    with pytest.raises(PlanError, match="Unknown"):
        run_piece(odd, {}, batch, 1)


def test_an_instruction_set_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_ISA", "sse9")
    with pytest.raises(NativeError, match="the executor cannot be made: HONED_ISA = 'sse9'"):
        linear(Dense(values(MATRIX.shape, 1), "float32"), values((ROWS, INNER), 2))
