from __future__ import annotations

from honed.models.programs import encode
from honed.ops.record import Node, Recorder, record
from honed.ops.values import Value, Weight


def hidden(ops: Recorder) -> Node:
    return ops.embedding(Weight("table", (10, 8)))


def pooler(ops: Recorder, x: Node) -> Node:
    return ops.activate(ops.linear(ops.pool(x, "first"), Weight("pooler", (4, 8))), "tanh")


def test_an_encoder_gives_its_rows_and_what_pools_them() -> None:
    graph = record(encode(hidden)["encode"])
    assert list(graph.outputs) == ["hidden", "mean", "first", "last"]
    assert graph.output("hidden").value == Value("tokens", 8)
    assert graph.output("mean").value == Value("sequences", 8)


def test_what_is_not_asked_for_is_not_there() -> None:
    graph = record(encode(hidden, pooler)["encode"])
    assert graph.output("pooler").value == Value("sequences", 4)
    assert [s.operation.name for s in graph.giving("pooler")] == ["Embedding", "Pool", "Linear", "Activate"]
    assert [s.operation.name for s in graph.giving("hidden")] == ["Embedding"]
