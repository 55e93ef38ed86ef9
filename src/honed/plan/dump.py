"""Readable text of each stage of a plan, for people and for `honed inspect --plan`. A form of its own; not parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from honed.models.recorded import encoding, recorded
from honed.models.registry import is_encoder, read_encoder, read_model
from honed.ops.graph import Graph
from honed.ops.operation import Operation
from honed.ops.values import Rotary, Weight
from honed.plan import lowered as low
from honed.plan import lowered_ops
from honed.plan.build import Stages, plan_graph
from honed.plan.formats import DensePolicy
from honed.plan.operations import Part
from honed.plan.source import Plannable


def dump_checkpoint(checkpoint: Plannable, policy: DensePolicy = "auto") -> str:
    """The stages of the plan that the native backend would run; of an encoder that of the mean of a text's rows. Reads
    no values of weights."""
    config, path = checkpoint.config, checkpoint.path
    graph = encoding(read_encoder(config, path), "mean") if is_encoder(config) else recorded(read_model(config, path))
    return dump_stages(plan_graph(graph, checkpoint, policy))


def dump_stages(stages: Stages) -> str:
    """All stages, one after the other, under headings."""
    parts = (
        ("recorded", dump_graph(stages.recorded)),
        ("fused", dump_graph(stages.fused)),
        ("laid out", dump_plan(stages.plan)),
    )
    return "\n".join(f"== {title} ==\n{text}" for title, text in parts)


def dump_graph(graph: Graph) -> str:
    """A line a statement: value, rows x width, operation, operands, attributes."""
    lines = []
    for statement in graph:
        value = statement.value
        kind = "f32" if not value.quantized else "int8" if value.group is None else f"int8/{value.group}"
        operands = [f"%{number}" for number in statement.operation.inputs]
        operands.extend(_attributes(statement.operation))
        kind = f"of {value.experts} experts" if value.experts else kind
        rows = value.rows if value.copies == 1 else f"{value.rows} x {value.copies}"
        shape = f"{rows} x {value.width} {kind}"
        lines.append(f"%{statement.number:<5} {shape:<24} {statement.operation.name}({', '.join(operands)})")
    return "\n".join(lines) + "\n"


def _attributes(operation: Operation) -> Iterator[str]:
    for field in fields(operation):
        value = getattr(operation, field.name)
        if field.name != "inputs" and value is not None:
            yield f"{field.name}={_text(value)}"


def _text(value: object) -> str:
    match value:
        case Weight(name=name):
            return name
        case Rotary(inverse_frequencies=frequencies):
            return f"{2 * len(frequencies)} wide"
        case Part(weight=weight, bias=bias):
            return weight.name if bias is None else f"{weight.name} + {bias.name}"
        case tuple():
            return "[" + ", ".join(_text(item) for item in value) + "]"
        case float():
            return f"{value:.6g}"
        case _:
            return str(value)


def dump_plan(plan: low.LoweredPlan) -> str:
    """Inputs, outputs and caches, ops with their slots and weights, then the slots, then the weights."""
    lines = ["inputs:", *(f"  i{number:<4} {_input(read)}" for number, read in enumerate(plan.inputs))]
    lines += ["outputs:", *(f"  {result.name} in s{result.slot}" for result in plan.outputs)]
    lines += ["caches:", *(f"  c{number:<4} {_cache(cache)}" for number, cache in enumerate(plan.caches))]
    lines.append("ops:")
    lines.extend(f"  {index:>4} {_op(op)}" for index, op in enumerate(plan.ops))
    lines.append("slots:")
    for number, slot in enumerate(plan.slots):
        kind = "f32" if not slot.quantized else f"int8/{slot.activation_group or 'row'}"
        kind = f"of {slot.experts} experts" if slot.experts else kind
        rows = slot.rows if slot.copies == 1 else f"{slot.rows} x {slot.copies} copies"
        lines.append(f"  s{number:<4} {rows} x {slot.width} {kind}, stretch {slot.stretch}")
    lines.append("weights:")
    lines.extend(f"  w{number:<4} {_weight(weight)}" for number, weight in enumerate(plan.weights))
    return "\n".join(lines) + "\n"


def _input(read: low.PlanInput) -> str:
    match read:
        case low.PlanIds():
            return f"{read.name}: ids below {read.bound}"
        case low.PlanFloats():
            return f"{read.name}: rows of {read.width}"


def _cache(cache: low.PlanCache) -> str:
    return f"{cache.kv_heads} KV heads, keys of {cache.key_width}, values of {cache.value_width}"


def _op(op: lowered_ops.PlanOp) -> str:
    kinds = dict.fromkeys(op.slot_fields, "s") | dict.fromkeys(op.weight_fields, "w")
    shown = []
    for field in fields(op):
        value = getattr(op, field.name)
        if value is not None:
            shown.append(f"{field.name}={kinds.get(field.name, '')}{_text(value)}")
    return f"{op.name:<18} {' '.join(shown)}"


def _weight(weight: low.PlanWeight) -> str:
    match weight:
        case low.TableWeight():
            return f"table {weight.name} {weight.rows} x {weight.width}"
        case low.LookupFactors():
            return f"lookup factors {weight.name} {weight.length}"
        case low.VectorWeight():
            return f"vector {weight.name} {weight.length}"
        case low.ConstantWeight():
            return f"constant of {len(weight.values)}"
        case low.BiasWeight():
            return f"bias {weight.columns} columns: {_placements(weight.parts)}"
        case low.MatrixWeight():
            return f"{weight.format} {weight.columns} x {weight.k}: {_placements(weight.parts)}"


def _placements(parts: tuple[low.Placement, ...]) -> str:
    return ", ".join(
        f"{part.name} at {part.first_column}" + (f" step {part.tile_step}" if part.tile_step != 1 else "")
        for part in parts
    )
