from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.models.registry import read_model
from honed.plan import graph as g
from honed.plan.graph import Graph, reading
from honed.plan.record import record
from tiny_models import SIZES


def test_users_in_order_and_once() -> None:
    value = g.Value("tokens", 4)
    statements = [g.Statement(5, g.Add(()), value), g.Statement(3, g.Add((5, 5)), value)]
    statements.append(g.Statement(8, g.Add((5, 3)), value))
    graph = Graph(tuple(statements))
    assert graph.users() == {5: statements[1:], 3: statements[2:]}
    assert graph.next_number() == 9
    assert graph.output is statements[2]


def test_reading_replaces_one_value_everywhere() -> None:
    assert reading(g.Concat((1, 2, 1)), 1, 7) == g.Concat((7, 2, 7))


def test_an_empty_graph_has_no_output() -> None:
    with pytest.raises(PlanError, match="holds no statements"):
        Graph(()).output


def test_numbers_lead_to_statements() -> None:
    graph = record(read_model({**SIZES, "model_type": "llama"}))
    assert list(graph.by_number().values()) == list(graph)
