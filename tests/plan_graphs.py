"""Graphs to try passes on."""

from __future__ import annotations

from collections.abc import Mapping

from honed.encodings.int8 import Int8Scheme
from honed.models.recorded import recorded as recorded_model
from honed.models.registry import read_model
from honed.ops.graph import Graph
from honed.plan.formats import DenseFormat, Format
from honed.plan.legalize import legalize
from tiny_models import tiny_config

DENSE = DenseFormat("float32")
BY_ROW = Int8Scheme(None, None)
BY_GROUP = Int8Scheme(None, 32)


def recorded(family: str = "llama2") -> Graph:
    return recorded_model(read_model(tiny_config(family)))


def formats_of(graph: Graph, chosen: Mapping[str, Format] | None = None, default: Format = DENSE) -> dict[str, Format]:
    """The format of each matrix: that of the first key of `chosen` that is part of its name."""
    found: dict[str, Format] = {}
    for statement in graph:
        for weight in statement.operation.multiplied:
            found[weight.name] = next((f for key, f in (chosen or {}).items() if key in weight.name), default)
    return found


def legal(
    family: str = "llama2", chosen: Mapping[str, Format] | None = None, default: Format = DENSE
) -> tuple[Graph, dict[str, Format]]:
    graph = recorded(family)
    formats = formats_of(graph, chosen, default)
    return legalize(graph, formats), formats


def names(graph: Graph) -> list[str]:
    return [statement.operation.name for statement in graph]
