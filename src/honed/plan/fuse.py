"""What makes a plan faster without changing a bit of its results: one function a fusion, each of them optional.

A fusion maps (graph of executor operations, formats of the weights) to a graph; where its pattern is not there the
graph stays as it is. Not here: rewriting that lowering cannot do without (`legalize.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from honed.errors import ParameterError
from honed.ops.graph import Graph, Statement, reading
from honed.ops.operation import Operation
from honed.ops.table import Activate, Add, Combine, Dispatch, Embedding, LayerNorm, RmsNorm, Route, Scale, Select
from honed.ops.values import TOKENS, GatedActivation
from honed.plan.formats import Format
from honed.plan.operations import (
    GATED,
    AddedCombine,
    AddedEmbedding,
    Concat,
    Copy,
    Epilogue,
    ExpertMatmul,
    Matmul,
    NormQuantize,
    PackedGated,
    Part,
    Quantize,
)

Formats = Mapping[str, Format]
Fusion = Callable[[Graph, Formats], Graph]
_GATED_BY: Mapping[GatedActivation, Epilogue] = {activation: epilogue for epilogue, activation in GATED.items()}
_OF_EXPERTS = (Route, Dispatch, ExpertMatmul, Combine)
_OF_FEATURES = (RmsNorm, LayerNorm, Quantize, NormQuantize, Matmul, PackedGated, Activate, Concat, Copy, Add, Scale)
_BY_ROW = (*_OF_FEATURES, *_OF_EXPERTS)
"""Each row of their result needs that row of their operands and nothing else."""


def hoist_select(graph: Graph, formats: Formats) -> Graph:
    """Selects rows as soon as attention no longer needs the others, so that the last layer skips them."""
    if any(graph.output(name).value.rows != "selected" for name in graph.outputs):
        return graph
    full: set[int] = set()
    for statement in reversed(graph.statements):
        if not isinstance(statement.operation, (*_BY_ROW, Select)):
            full.add(statement.number)
        if statement.number in full:
            full.update(statement.operation.inputs)
    number = graph.next_number()
    statements = graph.by_number()
    selected: dict[int, int] = {}  # value of all rows -> value of its selected rows
    out: list[Statement] = []

    def append(operation: Operation, of: Statement) -> None:
        """One more statement, that gives the selected rows of that value."""
        nonlocal number
        out.append(Statement(number, operation, replace(of.value, rows="selected")))
        selected[of.number] = number
        number += 1

    def select(x: int) -> None:
        """Of quantized rows the floats are selected, and quantized once more: they are few."""
        made = statements[x]
        if x in selected:
            return
        if isinstance(made.operation, Quantize):
            (floats,) = made.operation.inputs
            select(floats)
            append(reading(made.operation, floats, selected[floats]), made)
        else:
            append(Select((x,)), made)

    for statement in graph:
        operation = statement.operation
        if statement.number in full:
            out.append(statement)
            continue
        if isinstance(operation, Select):
            (x,) = operation.inputs
            if x not in full or x in selected:
                selected[statement.number] = selected.get(x, x)
                continue
            selected[x] = statement.number
        if isinstance(operation, _BY_ROW):
            for x in operation.inputs:
                if x in full:
                    select(x)
                operation = reading(operation, x, selected.get(x, x))
        out.append(Statement(statement.number, operation, replace(statement.value, rows="selected")))
    outputs = {name: selected.get(value, value) for name, value in graph.outputs.items()}
    return Graph(tuple(out), outputs).pruned()


def merge_projections(graph: Graph, formats: Formats) -> Graph:
    """Matmuls of one input that stand side by side (q, k, v; gate, up) become one, if packed alike; those of experts
    too."""
    statements, readers = graph.by_number(), graph.readers()

    def merged(statement: Statement, concat: Concat) -> Matmul | ExpertMatmul | None:
        found = [statements[number].operation for number in concat.inputs]
        if len(set(concat.inputs)) != len(found) or len({operation.inputs for operation in found}) != 1:
            return None
        if not all(readers.only(number, statement) for number in concat.inputs):
            return None
        matmuls = [one for one in found if isinstance(one, Matmul) and one.epilogue == "store"]
        if len(matmuls) == len(found):
            parts = tuple(part for one in matmuls for part in one.parts)
            return Matmul(found[0].inputs, parts, "store") if _packed_alike(parts, formats) else None
        of_experts = [one for one in found if isinstance(one, ExpertMatmul) and one.epilogue == "store"]
        if len(of_experts) != len(found):
            return None
        experts = tuple(
            tuple(part for parts in own for part in parts)
            for own in zip(*(one.experts for one in of_experts), strict=True)
        )
        alike = all(_packed_alike(parts, formats) for parts in experts)
        return ExpertMatmul(found[0].inputs, experts, "store") if alike else None

    out = []
    for statement in graph:
        fused = merged(statement, statement.operation) if isinstance(statement.operation, Concat) else None
        out.append(statement if fused is None else replace(statement, operation=fused))
    return replace(graph, statements=tuple(out)).pruned()


def _packed_alike(parts: Sequence[Part], formats: Formats) -> bool:
    return len({(formats[part.weight.name], part.bias is None) for part in parts}) == 1


def fuse_gate(graph: Graph, formats: Formats) -> Graph:
    """The gated activation moves into the matmul that gives gate and up, whose tiles are then interleaved."""
    statements, readers = graph.by_number(), graph.readers()
    out = []
    for statement in graph:
        operation = statement.operation
        if isinstance(operation, PackedGated):
            (x,) = operation.inputs
            matmul = statements[x].operation
            if (
                isinstance(matmul, Matmul | ExpertMatmul)
                and matmul.epilogue == "store"
                and all(_is_pair(parts) for parts in _parts_of(matmul))
                and readers.only(x, statement)
            ):
                operation = replace(matmul, epilogue=_GATED_BY[operation.activation])
        out.append(_giving(statement, operation))
    return replace(graph, statements=tuple(out)).pruned()


def _parts_of(matmul: Matmul | ExpertMatmul) -> Sequence[Sequence[Part]]:
    return matmul.experts if isinstance(matmul, ExpertMatmul) else (matmul.parts,)


def _is_pair(parts: Sequence[Part]) -> bool:
    return len(parts) == 2 and parts[0].weight.shape == parts[1].weight.shape


def fuse_residual(graph: Graph, formats: Formats) -> Graph:
    """Add(residual, Matmul), the matmul as it is or scaled, becomes one that adds to the residual in place, where that
    is its last use."""
    statements, readers = graph.by_number(), graph.readers()

    def fused(add: Statement) -> Matmul | None:
        for result, residual in (add.operation.inputs, reversed(add.operation.inputs)):
            scaled, reader, factor = statements[result], add, 1.0
            if isinstance(scaled.operation, Scale) and readers.only(result, add):
                reader, factor = scaled, scaled.operation.factor
                scaled = statements[scaled.operation.inputs[0]]
            matmul = scaled.operation
            if (
                isinstance(matmul, Matmul)
                and matmul.epilogue == "store"
                and readers.only(scaled.number, reader)
                and readers.last(residual, add)
                and residual not in (result, scaled.number, *matmul.inputs)
            ):
                return replace(matmul, inputs=(*matmul.inputs, residual), epilogue="add", factor=factor)
        return None

    out = []
    for statement in graph:
        matmul = fused(statement) if isinstance(statement.operation, Add) else None
        out.append(statement if matmul is None else replace(statement, operation=matmul))
    return replace(graph, statements=tuple(out)).pruned()


def fuse_norm_quantize(graph: Graph, formats: Formats) -> Graph:
    """A norm that is only read quantized is quantized in the same pass over memory, once for each kind asked for."""
    statements, readers = graph.by_number(), graph.readers()
    out = []
    for statement in graph:
        operation = statement.operation
        if isinstance(operation, Quantize):
            (x,) = operation.inputs
            norm = statements[x].operation
            if isinstance(norm, RmsNorm) and readers.all_are(x, Quantize):
                operation = NormQuantize(norm.inputs, norm.weight, norm.eps, operation.group)
        out.append(_giving(statement, operation))
    return replace(graph, statements=tuple(out)).pruned()


def fuse_dispatch(graph: Graph, formats: Formats) -> Graph:
    """Rows that go to several experts are quantized once, before they are copied."""
    statements, number = graph.by_number(), graph.next_number()
    quantized: dict[tuple[int, int | None], int] = {}
    out = []
    for statement in graph:
        operation = statement.operation
        if isinstance(operation, Quantize):
            (copied,) = operation.inputs
            dispatch = statements[copied].operation
            if isinstance(dispatch, Dispatch):
                x, by = dispatch.inputs
                key = (x, operation.group)
                if key not in quantized:
                    quantize = Quantize((x,), operation.group)
                    out.append(Statement(number, quantize, quantize.infer([statements[x].value])))
                    quantized[key] = number
                    number += 1
                operation = Dispatch((quantized[key], by))
        out.append(_giving(statement, operation))
    return replace(graph, statements=tuple(out)).pruned()


def fuse_combine(graph: Graph, formats: Formats) -> Graph:
    """Add(residual, Combine) becomes a sum that is added to the residual in place, where that is its last use."""
    statements, readers = graph.by_number(), graph.readers()

    def fused(add: Statement) -> AddedCombine | None:
        for result, residual in (add.operation.inputs, reversed(add.operation.inputs)):
            combine = statements[result].operation
            if (
                isinstance(combine, Combine)
                and readers.only(result, add)
                and readers.last(residual, add)
                and residual not in (result, *combine.inputs)
            ):
                return AddedCombine((*combine.inputs, residual))
        return None

    out = []
    for statement in graph:
        added = fused(statement) if isinstance(statement.operation, Add) else None
        out.append(statement if added is None else replace(statement, operation=added))
    return replace(graph, statements=tuple(out)).pruned()


def fuse_embedding(graph: Graph, formats: Formats) -> Graph:
    """Add(x, Embedding) becomes a lookup that adds to x in place, where that is its last use."""
    statements, readers = graph.by_number(), graph.readers()

    def fused(add: Statement) -> AddedEmbedding | None:
        for looked_up, x in (reversed(add.operation.inputs), add.operation.inputs):
            embedding = statements[looked_up].operation
            if (
                isinstance(embedding, Embedding)
                and embedding.ids != TOKENS  # whose table may be looked up in a packed head
                and readers.only(looked_up, add)
                and readers.last(x, add)
                and x != looked_up
            ):
                return AddedEmbedding((x,), embedding)
        return None

    out = []
    for statement in graph:
        added = fused(statement) if isinstance(statement.operation, Add) else None
        out.append(statement if added is None else replace(statement, operation=added))
    return replace(graph, statements=tuple(out)).pruned()


def _giving(statement: Statement, operation: Operation) -> Statement:
    """The statement with that operation."""
    return statement if operation is statement.operation else replace(statement, operation=operation)


FUSIONS: dict[str, Fusion] = {
    "hoist_select": hoist_select,
    "merge_projections": merge_projections,
    "fuse_gate": fuse_gate,
    "fuse_residual": fuse_residual,
    "fuse_combine": fuse_combine,
    "fuse_dispatch": fuse_dispatch,
    "fuse_norm_quantize": fuse_norm_quantize,
    "fuse_embedding": fuse_embedding,
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
