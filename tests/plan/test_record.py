from __future__ import annotations

import pytest

from honed.errors import PlanError
from honed.models.registry import read_model
from honed.ops.table import OP_NAMES, Weight
from honed.plan import graph as g
from honed.plan.record import Recorder, record
from honed.plan.verify import verify_graph
from tiny_models import FAMILIES, SIZES


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_records_a_graph_that_verifies(family: str) -> None:
    kind, settings = FAMILIES[family]
    graph = record(read_model({**SIZES, **settings, "model_type": kind}))
    verify_graph(graph)
    assert graph.output.value == g.Value("selected", SIZES["vocab_size"])
    assert sum(isinstance(s.operation, g.Attention) for s in graph) == 2


def test_the_recorder_has_every_op_of_the_vocabulary() -> None:
    assert all(callable(getattr(Recorder, name)) for name in OP_NAMES)


def test_a_mistake_in_a_model_is_named_where_it_is_made() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    with pytest.raises(PlanError, match="Linear: weight w takes 9 features, and the row has 8"):
        recorder.linear(x, Weight("w", (4, 9)))
    with pytest.raises(PlanError, match="Add: operands differ"):
        recorder.add(x, recorder.linear(x, Weight("w", (4, 8))))
