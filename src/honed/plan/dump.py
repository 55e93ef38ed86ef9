"""Readable text of each stage of a plan, for people and for `honed inspect --plan`. A form of its own; not parsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from honed.encodings.codebook import table_name
from honed.models.registry import read_model
from honed.ops.table import Rotary, Weight
from honed.plan import graph as g
from honed.plan import lowered as low
from honed.plan.build import Stages, build_plan
from honed.plan.formats import BlocksFormat, CodebookFormat, DenseFormat, DensePolicy, Format, Int8Format
from honed.plan.graph import Graph
from honed.plan.source import Plannable


def dump_checkpoint(checkpoint: Plannable, policy: DensePolicy = "auto") -> str:
    """The stages of the plan that the native backend would run. Reads no values of weights."""
    return dump_stages(build_plan(read_model(checkpoint.config, checkpoint.path), checkpoint, policy))


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
        shape = f"{value.rows} x {value.width} {kind}"
        lines.append(f"%{statement.number:<5} {shape:<24} {statement.operation.name}({', '.join(operands)})")
    return "\n".join(lines) + "\n"


def _attributes(operation: g.Operation) -> Iterator[str]:
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
        case g.Part(weight=weight, bias=bias):
            return weight.name if bias is None else f"{weight.name} + {bias.name}"
        case tuple():
            return "[" + ", ".join(_text(item) for item in value) + "]"
        case float():
            return f"{value:.6g}"
        case _:
            return str(value)


def dump_plan(plan: low.LoweredPlan) -> str:
    """Ops with their slots and weights, then the slots, then the weights."""
    lines = [
        f"{plan.layers} layers, {plan.kv_heads} KV heads of {plan.head_dim}, "
        f"vocabulary {plan.vocabulary}, {plan.logits} logits"
    ]
    lines.append("ops:")
    lines.extend(f"  {index:>4} {_op(op)}" for index, op in enumerate(plan.ops))
    lines.append("slots:")
    for number, slot in enumerate(plan.slots):
        kind = "f32" if not slot.quantized else f"int8/{slot.activation_group or 'row'}"
        lines.append(f"  s{number:<4} {slot.rows} x {slot.width} {kind}, stretch {slot.stretch}")
    lines.append("weights:")
    lines.extend(f"  w{number:<4} {_weight(weight)}" for number, weight in enumerate(plan.weights))
    return "\n".join(lines) + "\n"


def _op(op: low.PlanOp) -> str:
    record = op.record()
    known = {"input": "s", "output": "s", "slot": "s", "table": "w", "weight": "w", "matrix": "w", "bias": "w"}
    known |= {"inverse_frequencies": "w", "q_norm": "w", "k_norm": "w"}
    shown = []
    for field in fields(op):
        value = getattr(op, field.name)
        if value is not None:
            shown.append(f"{field.name}={known.get(field.name, '')}{_text(value)}")
    return f"{record.code:<18} {' '.join(shown)}"


def _weight(weight: low.PlanWeight) -> str:
    match weight:
        case low.TableWeight():
            return f"table {weight.name} {weight.rows} x {weight.width}"
        case low.VectorWeight():
            return f"vector {weight.name} {weight.length}"
        case low.ConstantWeight():
            return f"constant of {len(weight.values)}"
        case low.BiasWeight():
            return f"bias {weight.columns} columns: {_placements(weight.parts)}"
        case low.MatrixWeight():
            return f"{_format(weight.format)} {weight.columns} x {weight.k}: {_placements(weight.parts)}"


def _placements(parts: tuple[low.Placement, ...]) -> str:
    return ", ".join(
        f"{part.name} at {part.first_column}" + (f" step {part.tile_step}" if part.tile_step != 1 else "")
        for part in parts
    )


def _format(format_: Format) -> str:
    match format_:
        case DenseFormat():
            return format_.dtype
        case Int8Format():
            return f"int8 per {format_.group or 'column'}, activations per {format_.activation or 'row'}"
        case CodebookFormat():
            name, activation = table_name(format_.table), format_.activation or "row"
            return f"codebook {name} per {format_.group}, activations per {activation}"
        case BlocksFormat():
            return f"{format_.type_name} blocks, activations per {format_.activation}"
        case _:
            return f"int4 per {format_.group} {format_.offset}, activations per {format_.activation or 'row'}"
