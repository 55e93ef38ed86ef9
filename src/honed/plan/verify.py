"""A verifier for each stage of a plan: as recorded, as fused, as laid out. All raise PlanError.

They are run on every plan that is made, not only in tests: a wrong rewrite must not become a wrong answer. The native
side validates bounds once more before it runs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from honed.errors import PlanError
from honed.plan import graph as g
from honed.plan import lowered as low
from honed.plan.buffers import lives
from honed.plan.formats import DenseFormat, Format
from honed.plan.graph import Graph, Statement
from honed.plan.infer import infer

_EXECUTABLE = (
    g.Embedding,
    g.RmsNorm,
    g.Quantize,
    g.NormQuantize,
    g.Matmul,
    g.PackedAttention,
    g.PackedGated,
    g.Concat,
    g.Add,
    g.Select,
)


def verify_graph(graph: Graph) -> None:
    """Values are defined once and before use, shapes follow, every layer attends once, the end is selected logits."""
    defined: dict[int, g.Value] = {}
    layers: list[int] = []
    for statement in graph:
        for number in statement.operation.inputs:
            if number not in defined:
                raise _wrong(statement, f"reads value {number} before it is computed")
        expected = infer(statement.operation, [defined[number] for number in statement.operation.inputs])
        if statement.value != expected:
            raise _wrong(statement, f"is said to give {statement.value}, and gives {expected}")
        if statement.number in defined:
            raise _wrong(statement, "is defined twice")
        defined[statement.number] = statement.value
        if isinstance(statement.operation, g.Attention | g.PackedAttention):
            layers.append(statement.operation.layer)
    if layers != list(range(len(layers))) or not layers:
        raise PlanError(f"graph: attention layers are {layers}, must be 0, 1, 2 and so on, each once")
    if graph.output.value.rows != "selected" or graph.output.value.quantized:
        raise PlanError(f"graph: ends in {graph.output.value}, must be the float32 logits of the selected rows")


def verify_fused(graph: Graph, formats: Mapping[str, Format]) -> None:
    """All of `verify_graph`, and that each statement is one the executor can run where it stands."""
    verify_graph(graph)
    statements, users = graph.by_number(), graph.users()
    caches = set()
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, _EXECUTABLE):
            raise _wrong(statement, "is not an operation of the executor")
        match operation:
            case g.RmsNorm(weight=weight) if weight.shape[0] != statement.value.width:
                raise _wrong(statement, f"normalizes runs of {weight.shape[0]}; the executor does so only in attention")
            case g.Matmul():
                _verify_matmul(statement, operation, statements[operation.inputs[0]].value, formats)
                if operation.epilogue == "add" and users[operation.inputs[1]][-1] != statement:
                    raise _wrong(statement, f"adds in place to value {operation.inputs[1]}, which is read again later")
            case g.Concat():
                _verify_concat(statement, statements, users)
            case g.PackedAttention():
                caches.add((operation.kv_heads, operation.head_dim))
                if not isinstance(statements[operation.inputs[0]].operation, g.Concat | g.Matmul):
                    raise _wrong(statement, "rotates q and k in place, and must be given the result of projections")
                if len(users[operation.inputs[0]]) != 1:
                    raise _wrong(statement, f"rotates value {operation.inputs[0]} in place, which others read too")
    if len(caches) != 1:
        raise PlanError(f"graph: layers have caches of {sorted(caches)} (KV heads, head_dim), must all be alike")


def _verify_matmul(statement: Statement, matmul: g.Matmul, x: g.Value, formats: Mapping[str, Format]) -> None:
    kinds = {formats[part.weight.name] for part in matmul.parts}
    if len(kinds) != 1:
        raise _wrong(statement, f"holds weights of different formats: {kinds}")
    format_ = kinds.pop()
    quantized = not isinstance(format_, DenseFormat)
    group = None if isinstance(format_, DenseFormat) else format_.activation
    if x.quantized != quantized or x.group != group:
        raise _wrong(statement, f"has weights of {format_} and an input of {x}")


def _verify_concat(
    statement: Statement, statements: Mapping[int, Statement], users: dict[int, list[Statement]]
) -> None:
    inputs = statement.operation.inputs
    for number in inputs:
        part = statements[number].operation
        if not isinstance(part, g.Matmul) or part.epilogue == "add" or inputs.count(number) != 1:
            raise _wrong(statement, f"value {number} cannot be computed into columns of it: {part.name}")
        if len(users[number]) != 1:
            raise _wrong(statement, f"value {number} is computed into columns of it, and read by others too")
    if not all(isinstance(user.operation, g.PackedAttention | g.PackedGated) for user in users[statement.number]):
        raise _wrong(statement, "is read by something else than attention or a gated activation")


def _wrong(statement: Statement, problem: str) -> PlanError:
    return PlanError(f"value {statement.number} ({statement.operation.name}): {problem}")


# ---- as laid out ---------------------------------------------------------------------------------


def verify_layout(plan: low.LoweredPlan) -> None:
    """Every read finds what was written for it: all columns, in bounds, in a stretch that no living slot shares."""
    _verify_slots(plan)
    _verify_stretches(plan)
    verified: set[tuple[int, tuple[tuple[int, int, int], ...]]] = set()
    for number, weight in enumerate(plan.weights):
        if isinstance(weight, low.MatrixWeight | low.BiasWeight):
            placed = weight.columns, tuple((part.rows, part.first_column, part.tile_step) for part in weight.parts)
            if placed not in verified:  # layers are alike
                _verify_columns(number, weight)
                verified.add(placed)


def _verify_slots(plan: low.LoweredPlan) -> None:
    written: dict[int, bytearray] = {}  # for each column 1 if it is
    for index, op in enumerate(plan.ops):
        record = op.record()
        code = record.code
        for slot in (*low.reads(op), op.output):
            if not 0 <= slot < len(plan.slots):
                raise PlanError(f"op {index} ({code}): slot {slot} is outside 0 to {len(plan.slots) - 1}")
        for weight in record.weights:
            if not low.NO_WEIGHT <= weight < len(plan.weights):
                raise PlanError(f"op {index} ({code}): weight {weight} is outside 0 to {len(plan.weights) - 1}")
        for slot in low.reads(op):
            missing = plan.slots[slot].width - (written[slot].count(1) if slot in written else 0)
            if missing:
                raise PlanError(f"op {index} ({code}): reads slot {slot}, of which {missing} columns are not written")
        begin, end = low.written_columns(op, plan.slots)
        width = plan.slots[op.output].width
        if not 0 <= begin <= end <= width:
            raise PlanError(f"op {index} ({code}): writes columns {begin} to {end} of {width} in slot {op.output}")
        written.setdefault(op.output, bytearray(width))[begin:end] = b"\1" * (end - begin)
    if not plan.ops or plan.slots[plan.ops[-1].output].rows != "selected":
        raise PlanError("plan: the last op must write the logits of the selected rows")


def _verify_stretches(plan: low.LoweredPlan) -> None:
    by_stretch: dict[int, list[tuple[int, int, int]]] = {}
    for slot, (first, last) in lives(plan).items():
        by_stretch.setdefault(plan.slots[slot].stretch, []).append((first, last, slot))
    for stretch, intervals in by_stretch.items():
        intervals.sort()
        for (_, last, slot), (first, _, other) in pairwise(intervals):
            if first <= last:
                raise PlanError(f"stretch {stretch}: slots {slot} and {other} are both alive at op {first}")


def _verify_columns(number: int, weight: low.MatrixWeight | low.BiasWeight) -> None:
    taken = bytearray(weight.columns)
    for part in weight.parts:
        for begin, end in part.runs():
            if not 0 <= begin < end <= weight.columns:
                raise PlanError(f"weight {number}: {part.name} goes outside its {weight.columns} columns")
            if 1 in taken[begin:end]:
                raise PlanError(f"weight {number}: {part.name} takes columns that are taken")
            taken[begin:end] = b"\1" * (end - begin)
