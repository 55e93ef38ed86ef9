"""What makes a plan faster without changing a bit of its results: one function a fusion, each of them optional.

A fusion maps (graph of executor operations, formats of the weights) to a graph; where its pattern is not there the
graph stays as it is. Not here: rewriting that lowering cannot do without (`legalize.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from honed.errors import ParameterError
from honed.plan import graph as g
from honed.plan.formats import Format
from honed.plan.graph import Graph, Statement, reading
from honed.plan.legalize import prune

Formats = Mapping[str, Format]
Fusion = Callable[[Graph, Formats], Graph]
_BY_ROW = (g.RmsNorm, g.Quantize, g.NormQuantize, g.Matmul, g.PackedGated, g.Concat, g.Add)


def hoist_select(graph: Graph, formats: Formats) -> Graph:
    """Selects rows as soon as attention no longer needs the others, so that the last layer skips them."""
    if graph.output.value.rows != "selected":
        return graph
    full: set[int] = set()
    for statement in reversed(graph.statements):
        if isinstance(statement.operation, g.PackedAttention | g.Embedding):
            full.add(statement.number)
        if statement.number in full:
            full.update(statement.operation.inputs)
    number = graph.next_number()
    statements = graph.by_number()
    selected: dict[int, int] = {}  # value of all rows -> value of its selected rows
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if statement.number in full:
            out.append(statement)
            continue
        if isinstance(operation, g.Select):
            (x,) = operation.inputs
            if x not in full or x in selected:
                selected[statement.number] = selected.get(x, x)
                continue
            selected[x] = statement.number
        if isinstance(operation, _BY_ROW):
            for x in operation.inputs:
                if x in full and x not in selected:
                    value = replace(statements[x].value, rows="selected")
                    out.append(Statement(number, g.Select((x,)), value))
                    selected[x] = number
                    number += 1
                operation = reading(operation, x, selected.get(x, x))
        out.append(Statement(statement.number, operation, replace(statement.value, rows="selected")))
    return prune(Graph(tuple(out)))


def merge_projections(graph: Graph, formats: Formats) -> Graph:
    """Matmuls of one input that stand side by side (q, k, v; gate, up) become one, if packed alike."""
    statements, users = graph.by_number(), graph.users()

    def merged(concat: g.Concat) -> g.Matmul | None:
        parts: list[g.Part] = []
        sources = set()
        for number in concat.inputs:
            operation = statements[number].operation
            if not isinstance(operation, g.Matmul) or operation.epilogue != "store" or len(users[number]) != 1:
                return None
            parts.extend(operation.parts)
            sources.add(operation.inputs)
        kinds = {(formats[part.weight.name], part.bias is None) for part in parts}
        repeated = len(set(concat.inputs)) != len(concat.inputs)
        if len(kinds) != 1 or len(sources) != 1 or repeated:
            return None
        return g.Matmul(sources.pop(), tuple(parts), "store")

    out = []
    for statement in graph:
        fused = merged(statement.operation) if isinstance(statement.operation, g.Concat) else None
        out.append(statement if fused is None else replace(statement, operation=fused))
    return prune(Graph(tuple(out)))


def fuse_gate(graph: Graph, formats: Formats) -> Graph:
    """The gated activation moves into the matmul that gives gate and up, whose tiles are then interleaved."""
    statements, users = graph.by_number(), graph.users()
    out = []
    for statement in graph:
        operation = statement.operation
        if isinstance(operation, g.PackedGated):
            (x,) = operation.inputs
            matmul = statements[x].operation
            if (
                isinstance(matmul, g.Matmul)
                and matmul.epilogue == "store"
                and len(matmul.parts) == 2
                and matmul.parts[0].weight.shape == matmul.parts[1].weight.shape
                and len(users[x]) == 1
            ):
                epilogue: g.Epilogue = "gated_silu" if operation.activation == "silu" else "gated_gelu_tanh"
                operation = replace(matmul, epilogue=epilogue)
        out.append(_giving(statement, operation))
    return prune(Graph(tuple(out)))


def fuse_residual(graph: Graph, formats: Formats) -> Graph:
    """Add(residual, Matmul) becomes a matmul that adds to the residual in place, where that is its last use."""
    statements, users = graph.by_number(), graph.users()

    def fused(add: Statement) -> g.Matmul | None:
        for result, residual in (add.operation.inputs, reversed(add.operation.inputs)):
            matmul = statements[result].operation
            if (
                isinstance(matmul, g.Matmul)
                and matmul.epilogue == "store"
                and users[result] == [add]
                and users[residual][-1] == add
                and residual not in (result, *matmul.inputs)
            ):
                return replace(matmul, inputs=(*matmul.inputs, residual), epilogue="add")
        return None

    out = []
    for statement in graph:
        matmul = fused(statement) if isinstance(statement.operation, g.Add) else None
        out.append(statement if matmul is None else replace(statement, operation=matmul))
    return prune(Graph(tuple(out)))


def fuse_norm_quantize(graph: Graph, formats: Formats) -> Graph:
    """A norm that is only read quantized is quantized in the same pass over memory, once for each kind asked for."""
    statements, users = graph.by_number(), graph.users()
    out = []
    for statement in graph:
        operation = statement.operation
        if isinstance(operation, g.Quantize):
            (x,) = operation.inputs
            norm = statements[x].operation
            only_quantized = all(isinstance(user.operation, g.Quantize) for user in users[x])
            if isinstance(norm, g.RmsNorm) and only_quantized:
                operation = g.NormQuantize(norm.inputs, norm.weight, norm.eps, operation.group)
        out.append(_giving(statement, operation))
    return prune(Graph(tuple(out)))


def _giving(statement: Statement, operation: g.Operation) -> Statement:
    """The statement with that operation."""
    return statement if operation is statement.operation else replace(statement, operation=operation)


FUSIONS: dict[str, Fusion] = {
    "hoist_select": hoist_select,
    "merge_projections": merge_projections,
    "fuse_gate": fuse_gate,
    "fuse_residual": fuse_residual,
    "fuse_norm_quantize": fuse_norm_quantize,
}
"""In the order in which they apply: the gate is found in what the merging made."""


def fuse(graph: Graph, formats: Formats, fusions: Iterable[str] = tuple(FUSIONS)) -> Graph:
    """Applies the named fusions, always in the order of `FUSIONS`."""
    asked = set(fusions)
    for name in sorted(asked - FUSIONS.keys()):
        raise ParameterError("fusion", name, f"must be one of {', '.join(FUSIONS)}")
    for name, fusion in FUSIONS.items():
        if name in asked:
            graph = fusion(graph, formats)
    return graph
