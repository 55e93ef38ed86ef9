from __future__ import annotations

from collections.abc import Sequence

import pytest

from honed.errors import PlanError
from honed.ops.graph import Graph
from honed.ops.operation import Operation
from honed.ops.record import Recorder
from honed.ops.run import Meanings
from honed.ops.table import Add, Embedding
from honed.ops.values import Value, Weight
from honed.records import dataclass


@dataclass(frozen=True)
class Made(Operation):
    def infer(self, inputs: Sequence[Value]) -> Value:
        return inputs[0]


def graph(*, made: bool) -> Graph:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (9, 4)))
    y = recorder.add(x, x)
    if made:
        y = recorder.record(Made((y,)))
    return recorder.graph({"y": y, "sum": recorder.add(recorder.add(y, x), y)})


def meanings() -> Meanings[list[str], int]:
    functions: Meanings[list[str], int] = Meanings("a test")

    @functions.of(Embedding)
    def embedding(op: Embedding, step: list[str]) -> int:
        step.append(op.table.name)
        return 1

    @functions.of(Add)
    def add(op: Add, step: list[str], a: int, b: int) -> int:
        step.append(f"{a} + {b}")
        return a + b

    return functions


def test_each_op_is_given_its_operands_in_order() -> None:
    step: list[str] = []
    assert meanings().run(graph(made=False), step) == {"y": 2, "sum": 5}
    assert step == ["table", "1 + 1", "2 + 1", "3 + 2"]


def test_an_op_without_a_function_is_named_before_anything_is_computed() -> None:
    step: list[str] = []
    with pytest.raises(PlanError, match="Made: has no function in a test"):
        meanings().run(graph(made=True), step)
    assert step == []


def test_a_function_can_be_added() -> None:
    functions = meanings()
    functions.of(Made)(lambda op, step, x: 10 * x)
    assert functions.run(graph(made=True), [])["sum"] == 41
