from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from honed.errors import PlanError
from honed.models.recorded import recorded
from honed.models.registry import read_model
from honed.ops import table
from honed.ops.operation import Operation
from honed.ops.record import Recorder
from honed.ops.table import Attention
from honed.ops.values import Value, Weight
from honed.plan.verify import verify_graph
from honed.records import dataclass
from tiny_models import FAMILIES, SIZES, tiny_config


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_records_a_graph_that_verifies(family: str) -> None:
    model = read_model(tiny_config(family))
    graph = recorded(model)
    verify_graph(graph)
    assert graph.output("logits").value == Value("selected", SIZES["vocab_size"])
    assert sum(isinstance(s.operation, Attention) for s in graph) == model.dimensions.layers


def test_every_op_of_the_table_has_a_method() -> None:
    ops = [kind for kind in vars(table).values() if isinstance(kind, type) and issubclass(kind, Operation)]
    assert len(ops) > 8
    for kind in ops:
        method = re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        assert kind is Operation or callable(getattr(Recorder, method))


def test_a_mistake_in_a_model_is_named_where_it_is_made() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    with pytest.raises(PlanError, match="Linear: weight w takes 9 features, and the row has 8"):
        recorder.linear(x, Weight("w", (4, 9)))
    with pytest.raises(PlanError, match="Add: operands differ"):
        recorder.add(x, recorder.linear(x, Weight("w", (4, 8))))


def test_an_op_that_is_in_no_table_is_recorded_by_its_own_rule() -> None:
    recorder = Recorder()
    x = recorder.embedding(Weight("table", (10, 8)))
    halved = recorder.record(Halved((x,), Weight("scale", (4,))))
    graph = recorder.graph({"halved": halved})
    assert graph.output("halved").value == Value("tokens", 4)
    assert list(graph.weights()) == ["table", "scale"]
    with pytest.raises(PlanError, match=r"^Operation: has no rule for its shape"):
        recorder.record(Operation((x,)))


@dataclass(frozen=True)
class Halved(Operation):
    scale: Weight

    def infer(self, inputs: Sequence[Value]) -> Value:
        (x,) = self.operands(inputs, 1)
        return replace(x, width=x.width // 2)
