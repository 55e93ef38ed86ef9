"""The rewriting that every graph needs before it can be lowered: into operations that the executor has.

Rotation, head norms and the KV write belong to one op over a row of q, k and v; the gated activation reads one row of
gate and up; a quantized matmul reads quantized rows. What only makes a plan faster is in `fuse.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from honed.errors import PlanError
from honed.ops.graph import Graph, Statement
from honed.ops.operation import Operation
from honed.ops.table import Attention, ExpertLinear, Gated, Linear, RmsNorm, Rope
from honed.ops.values import Rotary, Weight
from honed.plan.formats import Format
from honed.plan.operations import Concat, Copy, ExpertMatmul, Matmul, PackedAttention, PackedGated, Part, Quantize
from honed.records import dataclass


def legalize(graph: Graph, formats: Mapping[str, Format]) -> Graph:
    """A graph of executor operations with the same results. `formats` has every matrix by its name."""
    return place_columns(quantize_inputs(pack_gated(pack_attention(graph)), formats))


@dataclass(frozen=True)
class _Rotated:
    """What stands behind a q or k: the projection, the norm of its heads and the rotation, where there are any."""

    source: int
    norm: RmsNorm | None
    rotary: Rotary | None


def _behind(statements: Mapping[int, Statement], number: int, head_dim: int) -> _Rotated:
    rotary = None
    rope = statements[number].operation
    if isinstance(rope, Rope):
        if rope.head_dim != head_dim:
            raise PlanError(f"Attention: heads of {head_dim} are rotated as heads of {rope.head_dim}; must be alike")
        (number,), rotary = rope.inputs, rope.rotary
    norm = statements[number].operation
    if isinstance(norm, RmsNorm) and norm.weight.shape == (head_dim,):
        return _Rotated(norm.inputs[0], norm, rotary)
    return _Rotated(number, None, rotary)


def pack_attention(graph: Graph) -> Graph:
    """Attention(q, k, v), with or without rotation and head norms, becomes PackedAttention(Concat(q, k, v))."""
    statements, number = graph.by_number(), graph.next_number()
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, Attention):
            out.append(statement)
            continue
        spec = operation.spec
        q, k = (_behind(statements, value, spec.head_dim) for value in operation.inputs[:2])
        if q.rotary != k.rotary or (q.norm and k.norm and q.norm.eps != k.norm.eps):
            raise PlanError(f"Attention: value {statement.number}: q and k must have one rotary and one norm epsilon")
        concat = Concat((q.source, k.source, operation.inputs[2]))
        values = [statements[value].value for value in concat.inputs]
        out.append(Statement(number, concat, concat.infer(values)))
        norm = q.norm or k.norm
        packed = PackedAttention(
            inputs=(number,),
            rotary=q.rotary,
            q_norm=_weight(q.norm),
            k_norm=_weight(k.norm),
            eps=norm.eps if norm else 0.0,
            spec=spec,
            cache=operation.cache,
            heads=values[0].width // spec.head_dim,
            kv_heads=values[1].width // spec.head_dim,
        )
        out.append(replace(statement, operation=packed))
        number += 1
    return replace(graph, statements=tuple(out)).pruned()


def _weight(norm: RmsNorm | None) -> Weight | None:
    return None if norm is None else norm.weight


def pack_gated(graph: Graph) -> Graph:
    """Gated(gate, up) becomes PackedGated(Concat(gate, up))."""
    statements, number = graph.by_number(), graph.next_number()
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, Gated):
            out.append(statement)
            continue
        concat = Concat(operation.inputs)
        out.append(Statement(number, concat, concat.infer([statements[value].value for value in concat.inputs])))
        out.append(replace(statement, operation=PackedGated((number,), operation.activation)))
        number += 1
    return replace(graph, statements=tuple(out))


def quantize_inputs(graph: Graph, formats: Mapping[str, Format]) -> Graph:
    """Linear becomes Matmul, and ExpertLinear ExpertMatmul, over rows quantized as the weights ask; one Quantize for
    all that ask the same."""
    statements, number = graph.by_number(), graph.next_number()
    quantized: dict[tuple[int, int | None], int] = {}
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, Linear | ExpertLinear):
            out.append(statement)
            continue
        x, *rest = operation.inputs
        format_ = _format_of(operation, formats)
        if format_.quantizes:
            key = (x, group := format_.activation_group)
            if key not in quantized:
                quantized[key] = number
                quantize = Quantize((x,), group)
                out.append(Statement(number, quantize, quantize.infer([statements[x].value])))
                number += 1
            x = quantized[key]
        out.append(replace(statement, operation=_multiplying(operation, (x, *rest))))
    return replace(graph, statements=tuple(out))


def _format_of(operation: Linear | ExpertLinear, formats: Mapping[str, Format]) -> Format:
    """That of its weights, which take one kind of rows."""
    first = operation.multiplied[0]
    kinds = {(formats[weight.name].quantizes, formats[weight.name].activation_group) for weight in operation.multiplied}
    if len(kinds) != 1:
        raise PlanError(
            f"{operation.name}: the experts from {first.name} on take rows that are quantized in {len(kinds)} ways: "
            "must be one; give all experts of a layer the same activations"
        )
    return formats[first.name]


def _multiplying(operation: Linear | ExpertLinear, inputs: tuple[int, ...]) -> Operation:
    if isinstance(operation, Linear):
        return Matmul(inputs, (Part(operation.weight, operation.bias),), "store")
    biases = operation.biases or (None,) * len(operation.matrices)
    parts = tuple((Part(*pair),) for pair in zip(operation.matrices, biases, strict=True))
    return ExpertMatmul(inputs, parts, "store")


def place_columns(graph: Graph) -> Graph:
    """What cannot be computed into its columns of a Concat, or is read by others too, is copied there."""
    statements, readers, number = graph.by_number(), graph.readers(), graph.next_number()
    out: list[Statement] = []
    for statement in graph:
        if not isinstance(statement.operation, Concat):
            out.append(statement)
            continue
        placed: list[int] = []
        for x in statement.operation.inputs:
            if (
                x not in placed
                and isinstance(statements[x].operation, Matmul | ExpertMatmul)
                and readers.only(x, statement)
            ):
                placed.append(x)
                continue
            out.append(Statement(number, Copy((x,)), statements[x].value))
            placed.append(number)
            number += 1
        out.append(replace(statement, operation=Concat(tuple(placed))))
    return replace(graph, statements=tuple(out))
