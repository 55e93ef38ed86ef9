"""Graphs to try passes on."""

from __future__ import annotations

from collections.abc import Mapping

from honed.models.registry import read_model
from honed.plan import graph as g
from honed.plan.formats import DenseFormat, Format, Int8Format
from honed.plan.graph import Graph
from honed.plan.legalize import legalize
from honed.plan.record import record
from tiny_models import FAMILIES, SIZES

DENSE = DenseFormat("float32")
BY_ROW = Int8Format(None, None)
BY_GROUP = Int8Format(None, 32)


def recorded(family: str = "llama2") -> Graph:
    kind, settings = FAMILIES[family]
    return record(read_model({**SIZES, **settings, "model_type": kind}))


def formats_of(graph: Graph, chosen: Mapping[str, Format] | None = None, default: Format = DENSE) -> dict[str, Format]:
    """The format of each matrix: that of the first key of `chosen` that is part of its name."""
    found: dict[str, Format] = {}
    for statement in graph:
        if isinstance(statement.operation, g.Linear):
            name = statement.operation.weight.name
            found[name] = next((f for key, f in (chosen or {}).items() if key in name), default)
    return found


def legal(
    family: str = "llama2", chosen: Mapping[str, Format] | None = None, default: Format = DENSE
) -> tuple[Graph, dict[str, Format]]:
    graph = recorded(family)
    formats = formats_of(graph, chosen, default)
    return legalize(graph, formats), formats


def names(graph: Graph) -> list[str]:
    return [statement.operation.name for statement in graph]
