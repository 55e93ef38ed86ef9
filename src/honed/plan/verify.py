"""A verifier for each stage of a plan: as recorded, as fused, as laid out. All raise PlanError.

They are run on every plan that is made, not only in tests: a wrong rewrite must not become a wrong answer. The native
side validates bounds once more before it runs anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from honed.errors import PlanError
from honed.models.programs import LOGITS
from honed.ops.graph import Graph, Readers, Statement
from honed.ops.table import (
    Activate,
    Add,
    Attention,
    Combine,
    Dispatch,
    Embedding,
    FloatRows,
    LayerNorm,
    Pool,
    RmsNorm,
    Route,
    Scale,
    Select,
)
from honed.ops.values import Value
from honed.plan import lowered as low
from honed.plan.buffers import lives
from honed.plan.formats import Format
from honed.plan.operations import (
    AddedCombine,
    AddedEmbedding,
    Concat,
    Copy,
    ExpertMatmul,
    Matmul,
    NormQuantize,
    PackedAttention,
    PackedGated,
    Part,
    Quantize,
)

_EXECUTABLE = (
    Embedding,
    AddedEmbedding,
    FloatRows,
    RmsNorm,
    LayerNorm,
    Quantize,
    NormQuantize,
    Matmul,
    PackedAttention,
    PackedGated,
    Activate,
    Concat,
    Copy,
    Add,
    Scale,
    Select,
    Pool,
    Route,
    Dispatch,
    ExpertMatmul,
    Combine,
    AddedCombine,
)


def verify_graph(graph: Graph) -> None:
    """Values are defined once and before use, shapes follow, every cache is attended to once, results are float32 and
    logits those of selected rows."""
    defined: dict[int, Value] = {}
    caches: list[int] = []
    for statement in graph:
        for number in statement.operation.inputs:
            if number not in defined:
                raise _wrong(statement, f"reads value {number} before it is computed")
        expected = statement.operation.infer([defined[number] for number in statement.operation.inputs])
        if statement.value != expected:
            raise _wrong(statement, f"is said to give {statement.value}, and gives {expected}")
        if statement.number in defined:
            raise _wrong(statement, "is defined twice")
        defined[statement.number] = statement.value
        if isinstance(statement.operation, Attention | PackedAttention) and statement.operation.cache is not None:
            caches.append(statement.operation.cache)
    if caches != list(range(len(caches))):
        raise PlanError(f"graph: attention is over caches {caches}, must be 0, 1, 2 and so on, each once")
    if not graph.outputs:
        raise PlanError("graph: gives nothing")
    for name in graph.outputs:
        value = graph.output(name).value
        if value.quantized or value.experts or value.copies != 1:
            raise PlanError(f"graph: {name} is {value}, must be float32")
        if name == LOGITS and value.rows != "selected":
            raise PlanError(f"graph: {name} are {value}, must be those of the selected rows")


def verify_fused(graph: Graph, formats: Mapping[str, Format]) -> None:
    """All of `verify_graph`, and that each statement is one the executor can run where it stands."""
    verify_graph(graph)
    statements, readers = graph.by_number(), graph.readers()
    for statement in graph:
        operation = statement.operation
        if not isinstance(operation, _EXECUTABLE):
            raise _wrong(statement, "is not an operation of the executor")
        match operation:
            case RmsNorm(weight=weight) if weight.shape[0] != statement.value.width:
                raise _wrong(statement, f"normalizes runs of {weight.shape[0]}; the executor does so only in attention")
            case Matmul():
                _verify_matmul(statement, operation.parts, statements[operation.inputs[0]].value, formats)
                if operation.epilogue == "add":
                    _verify_in_place(statement, operation.inputs[1], readers)
            case ExpertMatmul(experts=experts):
                for parts in experts:
                    _verify_matmul(statement, parts, statements[operation.inputs[0]].value, formats)
            case AddedCombine(inputs=(_, _, residual)):
                _verify_in_place(statement, residual, readers)
            case AddedEmbedding(inputs=(x,)):
                _verify_in_place(statement, x, readers)
            case Concat():
                _verify_concat(statement, statements, readers)
            case PackedAttention(inputs=(qkv,)):
                if not isinstance(statements[qkv].operation, Concat | Matmul):
                    raise _wrong(statement, "rotates q and k in place, and must be given the result of projections")
                if not readers.only(qkv, statement):
                    raise _wrong(statement, f"rotates value {qkv} in place, which others read too")


def _verify_in_place(statement: Statement, number: int, readers: Readers) -> None:
    if not readers.last(number, statement):
        raise _wrong(statement, f"adds in place to value {number}, which is read again later")


def _verify_matmul(statement: Statement, parts: Sequence[Part], x: Value, formats: Mapping[str, Format]) -> None:
    kinds = {formats[part.weight.name] for part in parts}
    if len(kinds) != 1:
        raise _wrong(statement, f"holds weights of different formats: {kinds}")
    format_ = kinds.pop()
    if x.quantized != format_.quantizes or x.group != format_.activation_group:
        raise _wrong(statement, f"has weights of {format_} and an input of {x}")


def _verify_concat(statement: Statement, statements: Mapping[int, Statement], readers: Readers) -> None:
    inputs = statement.operation.inputs
    for number in inputs:
        part = statements[number].operation
        in_columns = isinstance(part, Copy) or (isinstance(part, Matmul | ExpertMatmul) and part.epilogue != "add")
        if not in_columns or inputs.count(number) != 1:
            raise _wrong(statement, f"value {number} cannot be computed into columns of it: {part.name}")
        if not readers.only(number, statement):
            raise _wrong(statement, f"value {number} is computed into columns of it, and read by others too")
    if not readers.all_are(statement.number, (PackedAttention, PackedGated)):
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
        code = op.name
        for slot in (*low.reads(op), op.output):
            if not 0 <= slot < len(plan.slots):
                raise PlanError(f"op {index} ({code}): slot {slot} is outside 0 to {len(plan.slots) - 1}")
        for weight in low.weights(op):
            if not 0 <= weight < len(plan.weights):
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
    for result in plan.outputs:
        missing = plan.slots[result.slot].width - (written[result.slot].count(1) if result.slot in written else 0)
        if missing:
            raise PlanError(f"plan: {result.name} is in slot {result.slot}, of which {missing} columns are not written")
    if not plan.outputs:
        raise PlanError("plan: gives nothing")


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
