from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.graph import Graph, Statement, reading
from honed.ops.table import Add
from honed.ops.values import Value
from honed.plan.operations import Concat
from tiny_models import SIZES


def test_users_in_order_and_once() -> None:
    value = Value("tokens", 4)
    statements = [Statement(5, Add(()), value), Statement(3, Add((5, 5)), value)]
    statements.append(Statement(8, Add((5, 3)), value))
    graph = Graph(tuple(statements), {"sum": 8, "first": 5})
    assert graph.users() == {5: statements[1:], 3: statements[2:]}
    assert graph.next_number() == 9
    assert graph.output("sum") is statements[2]


def test_reading_replaces_one_value_everywhere() -> None:
    assert reading(Concat((1, 2, 1)), 1, 7) == Concat((7, 2, 7))


def test_a_result_that_there_is_not_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(PlanError, match="gives no logits; it gives hidden"):
        Graph((), {"hidden": 0}).output("logits")
    with pytest.raises(PlanError, match="gives no hidden"):
        Graph((), {"hidden": 0}).output("hidden")


def made(*operands: tuple[int, ...]) -> Graph:
    """Value n of the operands given n-th; the last is the result."""
    value = Value("tokens", 4)
    statements = tuple(Statement(number, Add(inputs), value) for number, inputs in enumerate(operands))
    return Graph(statements, {"last": len(operands) - 1, "first": 0})


def test_what_no_result_needs_is_left_out() -> None:
    graph = made((), (0,), (0,), (2,))
    assert [statement.number for statement in graph.giving("last")] == [0, 2, 3]
    assert [statement.number for statement in graph.giving("first")] == [0]
    assert graph.giving("first").outputs == {"first": 0}


def test_a_result_is_read_at_the_end() -> None:
    graph = made((), (), (1,), (0, 1, 2))
    last, readers = graph.statements[3], graph.readers()
    assert readers.last(1, last)
    assert not readers.only(1, last)
    assert readers.only(2, last)
    assert not readers.last(0, last)
    assert not readers.only(0, last)
    assert readers.all_are(2, Add)
    assert not readers.all_are(0, Add)


def test_numbers_lead_to_statements() -> None:
    graph = recorded(read_model({**SIZES, "model_type": "llama"}))
    assert list(graph.by_number().values()) == list(graph)
