"""Which linear layers make what attention multiplies to scores, read off the recorded graph."""

from __future__ import annotations

from honed.models.base import Model
from honed.models.recorded import main_graph
from honed.ops.table import Attention, LayerNorm, Linear, RmsNorm, Rope, Scale


def find_score_layers(model: Model) -> frozenset[str]:
    """The weights of the layers of queries and keys, whatever norms and rotations stand between them and attention."""
    graph = main_graph(model)
    statements, found = graph.by_number(), set[str]()
    for attention in graph.operations(Attention):
        for number in attention.inputs[:2]:
            operation = statements[number].operation
            while isinstance(operation, Rope | RmsNorm | LayerNorm | Scale):
                operation = statements[operation.inputs[0]].operation
            if isinstance(operation, Linear):
                found.add(operation.weight.name)
    return frozenset(found)
