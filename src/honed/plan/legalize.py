"""The rewriting that every graph needs before it can be lowered: into operations that the executor has.

Rotation, head norms and the KV write belong to one op over a row of q, k and v; the gated activation reads one row of
gate and up; a quantized matmul reads quantized rows. What only makes a plan faster is in `fuse.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from honed.errors import PlanError
from honed.ops.table import Rotary, Weight
from honed.plan import graph as g
from honed.plan.formats import DenseFormat, Format
from honed.plan.graph import Graph, Statement, Value
from honed.plan.infer import infer
from honed.records import dataclass


def legalize(graph: Graph, formats: Mapping[str, Format]) -> Graph:
    """A graph of executor operations with the same results. `formats` has every matrix by its name."""
    return quantize_inputs(pack_gated(pack_attention(graph)), formats)


def prune(graph: Graph) -> Graph:
    """Without the statements that nothing reads. Attention stays: it writes the cache."""
    kept: list[Statement] = []
    used = {graph.output.number}
    for statement in reversed(graph.statements):
        if statement.number in used or isinstance(statement.operation, g.Attention | g.PackedAttention):
            kept.append(statement)
            used.update(statement.operation.inputs)
    return Graph(tuple(reversed(kept)))


@dataclass(frozen=True)
class _Rotated:
    """What stands behind a rotated q or k: the projection, the norm of its heads, the rotation."""

    source: int
    norm: g.RmsNorm | None
    rotary: Rotary


def _behind(statements: Mapping[int, Statement], number: int, head_dim: int) -> _Rotated:
    rope = statements[number].operation
    if not isinstance(rope, g.Rope) or rope.head_dim != head_dim:
        raise PlanError(
            f"Attention: its q and k must come from Rope over heads of {head_dim}; there is no op without it"
        )
    (source,) = rope.inputs
    norm = statements[source].operation
    if isinstance(norm, g.RmsNorm) and norm.weight.shape == (head_dim,):
        return _Rotated(norm.inputs[0], norm, rope.rotary)
    return _Rotated(source, None, rope.rotary)


def pack_attention(graph: Graph) -> Graph:
    """Attention(Rope(q), Rope(k), v), with or without head norms, becomes PackedAttention(Concat(q, k, v))."""
    statements, number = graph.by_number(), graph.next_number()
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, g.Attention):
            out.append(statement)
            continue
        q, k = (_behind(statements, value, operation.head_dim) for value in operation.inputs[:2])
        if q.rotary != k.rotary or (q.norm and k.norm and q.norm.eps != k.norm.eps):
            raise PlanError(f"Attention: layer {operation.layer}: q and k must have one rotary and one norm epsilon")
        concat = g.Concat((q.source, k.source, operation.inputs[2]))
        values = [statements[value].value for value in concat.inputs]
        out.append(Statement(number, concat, infer(concat, values)))
        norm = q.norm or k.norm
        packed = g.PackedAttention(
            inputs=(number,),
            rotary=q.rotary,
            q_norm=_weight(q.norm),
            k_norm=_weight(k.norm),
            eps=norm.eps if norm else 0.0,
            layer=operation.layer,
            heads=values[0].width // operation.head_dim,
            kv_heads=values[1].width // operation.head_dim,
            head_dim=operation.head_dim,
            scale=operation.scale,
            window=operation.window,
        )
        out.append(replace(statement, operation=packed))
        number += 1
    return prune(Graph(tuple(out)))


def _weight(norm: g.RmsNorm | None) -> Weight | None:
    return None if norm is None else norm.weight


def pack_gated(graph: Graph) -> Graph:
    """Gated(gate, up) becomes PackedGated(Concat(gate, up))."""
    statements, number = graph.by_number(), graph.next_number()
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, g.Gated):
            out.append(statement)
            continue
        concat = g.Concat(operation.inputs)
        out.append(Statement(number, concat, infer(concat, [statements[value].value for value in concat.inputs])))
        out.append(replace(statement, operation=g.PackedGated((number,), operation.activation)))
        number += 1
    return Graph(tuple(out))


def quantize_inputs(graph: Graph, formats: Mapping[str, Format]) -> Graph:
    """Linear becomes Matmul, over rows quantized as its weight asks; one Quantize for all that ask the same."""
    number = graph.next_number()
    quantized: dict[tuple[int, int | None], int] = {}
    out: list[Statement] = []
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, g.Linear):
            out.append(statement)
            continue
        (x,) = operation.inputs
        format_ = formats[operation.weight.name]
        if not isinstance(format_, DenseFormat):
            key = (x, format_.activation)
            if key not in quantized:
                quantized[key] = number
                value = Value(statement.value.rows, operation.weight.shape[1], quantized=True, group=format_.activation)
                out.append(Statement(number, g.Quantize((x,), format_.activation), value))
                number += 1
            x = quantized[key]
        part = g.Part(operation.weight, operation.bias)
        out.append(replace(statement, operation=g.Matmul((x,), (part,), "store")))
    return Graph(tuple(out))
