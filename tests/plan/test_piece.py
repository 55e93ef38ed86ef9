"""Pieces of a recorded graph stand alone: what they read comes in as rows, and nothing else is left of the model."""

from __future__ import annotations

import numpy as np
import pytest

from honed.compress.blocks import find_blocks
from honed.encodings.dense import Dense
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops.table import Attention, FloatRows, Linear
from honed.plan.build import plan_graph
from honed.plan.piece import cut_out, rows_name
from honed.plan.verify import verify_graph
from tiny_models import SIZES, MemoryCheckpoint

CONFIG = {"model_type": "llama", **SIZES}
GRAPH = recorded(read_model(CONFIG))
VALUES = {statement.number: statement.value for statement in GRAPH}


def place(kind: type, number: int = 0) -> int:
    places = [place for place, statement in enumerate(GRAPH) if isinstance(statement.operation, kind)]
    return places[number]


def test_what_is_read_of_statements_before_comes_in_as_rows() -> None:
    attention = place(Attention)
    statement = GRAPH.statements[attention]
    piece = cut_out([statement], VALUES, [statement.number])
    verify_graph(piece)
    given = list(piece.operations(FloatRows))
    assert [rows.rows for rows in given] == [rows_name(number) for number in statement.operation.inputs]
    assert [rows.width for rows in given] == [VALUES[number].width for number in statement.operation.inputs]
    assert [one.cache for one in piece.operations(Attention)] == [None]
    assert piece.outputs == {rows_name(statement.number): statement.number}


def test_what_nobody_wants_is_not_computed() -> None:
    statements = GRAPH.statements
    first = next(s for s in statements if isinstance(s.operation, Linear))
    (entering,) = first.operation.inputs
    piece = cut_out(statements, VALUES, [entering])
    assert not list(piece.operations(Linear))
    assert piece.statements[-1].number == entering


def test_rows_of_selected_tokens_come_in_by_themselves() -> None:
    head = next(s for s in reversed(GRAPH.statements) if isinstance(s.operation, Linear))
    assert VALUES[head.number].rows == "selected"
    piece = cut_out([head], VALUES, [head.number])
    assert {statement.value.rows for statement in piece} == {"tokens"}


@pytest.mark.parametrize("count", [1, 7, len(GRAPH.statements)])
def test_every_piece_is_a_graph_without_caches(count: int) -> None:
    for first in range(0, len(GRAPH.statements), count):
        statements = GRAPH.statements[first : first + count]
        piece = cut_out(statements, VALUES, [statements[-1].number])
        verify_graph(piece)
        assert all(attention.cache is None for attention in piece.operations(Attention))
        assert set(piece.weights()) <= {weight.name for one in statements for weight in one.operation.weights}


def test_a_block_can_be_planned() -> None:
    weights = {name: Dense(np.zeros(weight.shape, np.float32), "float32") for name, weight in GRAPH.weights().items()}
    for block in find_blocks(GRAPH):
        piece = cut_out(block.statements, VALUES, [block.statements[-1].number])
        plan = plan_graph(piece, MemoryCheckpoint(CONFIG, weights), "auto").plan
        assert not plan.caches
        assert len(plan.outputs) == 1
