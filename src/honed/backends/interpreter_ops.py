"""What each op of a lowered plan means, in numpy: one function an op, registered in a table.

Follows native/cpu/kernel_table.h formula by formula. Not here: matmuls (`matrices.py`), attention (`attention.py`) and
the float formulas themselves (`float32.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from honed.backends.attention import KvPair, Scoring, attend
from honed.backends.base import PAGE_TOKENS, Batch
from honed.backends.float32 import Floats, activate, fma, gated, layer_norm, quantize, rms_norm, route
from honed.backends.matrices import DenseMatrix, IntegerMatrix, QuantizedRows
from honed.errors import PlanError
from honed.ops.values import POSITIONS, TOKENS
from honed.plan import lowered as low
from honed.plan import lowered_ops
from honed.plan.operations import GATED


@dataclass(frozen=True)
class RaggedRows:
    """The rows of a batch. inputs: what the plan reads by name. page_tables: as `Batch` has them; None where the plan
    has no caches. groups: of each cache the number of its group."""

    inputs: Mapping[str, NDArray[Any]]
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]
    selected: NDArray[np.int32]
    page_tables: NDArray[np.int32] | None
    groups: tuple[int, ...] = ()

    @staticmethod
    def of(batch: Batch, groups: tuple[int, ...]) -> RaggedRows:
        inputs = {TOKENS: batch.tokens}
        return RaggedRows(inputs, batch.positions, batch.sequences, batch.selected, batch.page_tables, groups)

    @property
    def of_sequences(self) -> list[NDArray[np.int64]]:
        """The rows of each sequence."""
        return [np.flatnonzero(self.sequences == s) for s in range(int(self.sequences.max(initial=-1)) + 1)]

    def cells(self, cache: int, sequence: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where positions of a sequence are in a cache."""
        tables = self.page_tables
        assert tables is not None  # of a plan that has caches
        table = (tables if tables.ndim == 2 else tables[self.groups[cache]])[sequence]
        pages: NDArray[np.int64] = table[positions // PAGE_TOKENS].astype(np.int64)
        return pages * PAGE_TOKENS + positions % PAGE_TOKENS


@dataclass(frozen=True)
class Step:
    """One batch: the slots, each an array of float rows or `QuantizedRows`, and what the ops read beside them.

    `own` holds the keys and values of an attention over the rows of the batch, between its two ops.
    """

    plan: low.LoweredPlan
    rows: RaggedRows
    weights: list[Any]
    caches: list[KvPair]
    slots: list[Any]
    own: list[KvPair]

    @staticmethod
    def of(plan: low.LoweredPlan, rows: RaggedRows, weights: list[Any], caches: list[KvPair]) -> Step:
        counts = {"tokens": len(rows.positions), "selected": len(rows.selected), "sequences": len(rows.of_sequences)}
        slots = [np.zeros((counts[slot.rows] * slot.copies, slot.width), np.float32) for slot in plan.slots]
        return Step(plan, rows, weights, caches, slots, [])

    def input(self, number: int) -> NDArray[Any]:
        name = self.plan.inputs[number].name
        return self.rows.positions if name == POSITIONS else self.rows.inputs[name]

    def weight_or_none(self, number: int | None) -> Any:
        return None if number is None else self.weights[number]


Function = TypeVar("Function", bound=Callable[..., None])
_FUNCTIONS: dict[type[Any], Callable[..., None]] = {}


def _meaning(kind: type[Any]) -> Callable[[Function], Function]:
    """Registers the function that is decorated for a class of ops."""

    def register(function: Function) -> Function:
        _FUNCTIONS[kind] = function
        return function

    return register


def run_op(op: lowered_ops.PlanOp, step: Step) -> None:
    """Writes the output slot of the op, and the cache where it does. PlanError for an op without a function here."""
    function = _FUNCTIONS.get(type(op))
    if function is None:
        raise PlanError(f"{type(op).__name__}: has no function in backends/interpreter_ops.py; write one there")
    function(op, step)


@_meaning(lowered_ops.EmbedOp)
def _embed(op: lowered_ops.EmbedOp, step: Step) -> None:
    rows = step.weights[op.table][step.input(op.ids) + op.first_row]
    step.slots[op.output] = rows if op.epilogue == "store" else step.slots[op.output] + rows


@_meaning(lowered_ops.FloatRowsOp)
def _float_rows(op: lowered_ops.FloatRowsOp, step: Step) -> None:
    step.slots[op.output] = step.input(op.rows)


@_meaning(lowered_ops.EmbedPackedOp)
def _embed_packed(op: lowered_ops.EmbedPackedOp, step: Step) -> None:
    matrix: IntegerMatrix = step.weights[op.matrix]
    step.slots[op.output] = matrix.rows(step.input(op.ids)) * step.weights[op.factors]


@_meaning(lowered_ops.RmsNormOp)
def _rms_norm(op: lowered_ops.RmsNormOp, step: Step) -> None:
    step.slots[op.output] = rms_norm(step.slots[op.input], step.weights[op.weight], op.eps)


@_meaning(lowered_ops.LayerNormOp)
def _layer_norm(op: lowered_ops.LayerNormOp, step: Step) -> None:
    weight, bias = step.weights[op.weight], step.weight_or_none(op.bias)
    step.slots[op.output] = layer_norm(step.slots[op.input], weight, bias, op.eps)


@_meaning(lowered_ops.QuantizeOp)
def _quantize(op: lowered_ops.QuantizeOp, step: Step) -> None:
    step.slots[op.output] = QuantizedRows(*quantize(step.slots[op.input], op.activation_group or None))


@_meaning(lowered_ops.RmsNormQuantizeOp)
def _rms_norm_quantize(op: lowered_ops.RmsNormQuantizeOp, step: Step) -> None:
    normed = rms_norm(step.slots[op.input], step.weights[op.weight], op.eps)
    step.slots[op.output] = QuantizedRows(*quantize(normed, op.activation_group or None))


@_meaning(lowered_ops.MatmulOp)
def _matmul(op: lowered_ops.MatmulOp, step: Step) -> None:
    result = _product(op, step.slots[op.input], step.weights[op.matrix], step.weight_or_none(op.bias))
    target = step.slots[op.output][:, op.output_column : op.output_column + op.columns]
    target[:] = target + result * np.float32(op.factor) if op.epilogue == "add" else result


def _product(
    op: lowered_ops.MatmulOp | lowered_ops.ExpertMatmulOp,
    x: Any,
    matrix: DenseMatrix | IntegerMatrix,
    bias: Floats | None,
) -> Floats:
    """The columns that are written, but for what they may be added to."""
    result = matrix.product(x)
    if bias is not None:
        result = result + bias
    if op.epilogue in ("store", "add"):
        return result[:, : op.columns]
    pairs = result.reshape(len(result), -1, 2, low.TILE_COLUMNS)
    gate, up = (pairs[:, :, half].reshape(len(result), -1)[:, : op.columns] for half in (0, 1))
    return gated(gate, up, GATED[op.epilogue])


@_meaning(lowered_ops.RouteOp)
def _route(op: lowered_ops.RouteOp, step: Step) -> None:
    """The numbers as float32, then what each counts. Copies of a row stand one after the other here."""
    step.slots[op.output] = np.concatenate(route(step.slots[op.input], op.chosen, op.scoring), axis=1)


@_meaning(lowered_ops.DispatchOp)
def _dispatch(op: lowered_ops.DispatchOp, step: Step) -> None:
    x = step.slots[op.input]
    if isinstance(x, QuantizedRows):
        codes, scales = np.repeat(x.codes, op.chosen, axis=0), np.repeat(x.scales, op.chosen, axis=0)
        step.slots[op.output] = QuantizedRows(codes, scales)
    else:
        step.slots[op.output] = np.repeat(x, op.chosen, axis=0)


@_meaning(lowered_ops.ExpertMatmulOp)
def _expert_matmul(op: lowered_ops.ExpertMatmulOp, step: Step) -> None:
    experts = step.slots[op.routing][:, : op.chosen].astype(np.int64).reshape(-1)
    x = step.slots[op.input]
    target = step.slots[op.output][:, op.output_column : op.output_column + op.columns]
    for expert in np.unique(experts):
        own = experts == expert
        rows = QuantizedRows(x.codes[own], x.scales[own]) if isinstance(x, QuantizedRows) else x[own]
        bias = None if op.biases is None else step.weights[op.biases[expert]]
        target[own] = _product(op, rows, step.weights[op.matrices[expert]], bias)


@_meaning(lowered_ops.CombineOp)
def _combine(op: lowered_ops.CombineOp, step: Step) -> None:
    counts = step.slots[op.routing][:, op.chosen :, None]
    copies = step.slots[op.input].reshape(len(counts), op.chosen, op.width)
    total = counts[:, 0] * copies[:, 0]
    for place in range(1, op.chosen):
        total = fma(counts[:, place], copies[:, place], total)
    step.slots[op.output] = total if op.epilogue == "store" else step.slots[op.output] + total


@_meaning(lowered_ops.RopeKvOp)
def _rope_kv(op: lowered_ops.RopeKvOp, step: Step) -> None:
    row = step.slots[op.slot].reshape(len(step.rows.positions), -1, op.head_dim)
    q, k = row[:, : op.heads], row[:, op.heads : op.heads + op.kv_heads]
    for heads, norm in ((q, op.q_norm), (k, op.k_norm)):
        if norm is not None:
            heads[:] = rms_norm(heads, step.weights[norm], op.eps)
    if op.inverse_frequencies is not None:
        _rotate(op, step, q, k)
    rows = step.rows
    if op.cache is None:
        pair = KvPair(len(row), op.kv_heads, op.head_dim, op.head_dim, "float32")
        step.own[:] = [pair]
        cells = np.arange(len(row))
    else:
        pair = step.caches[op.cache]
        cells = np.empty(len(row), np.int64)
        for sequence, own in enumerate(rows.of_sequences):
            cells[own] = rows.cells(op.cache, sequence, rows.positions[own].astype(np.int64))
    pair.keys.write(cells, k)
    pair.values.write(cells, row[:, op.heads + op.kv_heads :])


def _rotate(op: lowered_ops.RopeKvOp, step: Step, *operands: Floats) -> None:
    angles = step.rows.positions.astype(np.float32)[:, None] * step.weight_or_none(op.inverse_frequencies)
    factor = np.float32(op.attention_factor)
    cos = (np.cos(angles, dtype=np.float64).astype(np.float32) * factor)[:, None]
    sin = (np.sin(angles, dtype=np.float64).astype(np.float32) * factor)[:, None]
    half, interleaved = op.rotary_dim // 2, op.pairs == "interleaved"
    for heads in operands:
        first = heads[..., 0 : 2 * half : 2] if interleaved else heads[..., :half]
        second = heads[..., 1 : 2 * half : 2] if interleaved else heads[..., half : 2 * half]
        first[:], second[:] = fma(first, cos, -(second * sin)), fma(second, cos, first * sin)


@_meaning(lowered_ops.AttentionOp)
def _attention(op: lowered_ops.AttentionOp, step: Step) -> None:
    rows = step.rows
    heads = step.slots[op.input].reshape(len(rows.positions), -1, op.head_dim)[:, : op.heads]
    grouped = heads.reshape(len(heads), op.kv_heads, -1, op.head_dim)
    by_head = (op.kv_heads, op.heads // op.kv_heads)
    sinks = None if op.sinks is None else step.weights[op.sinks].reshape(by_head)
    by_distance = None if op.bias is None else step.weights[op.bias].reshape(*by_head, 2 * op.reach + 1)
    result: Floats = np.zeros((len(heads), op.heads * op.head_dim), dtype=np.float32)
    for sequence, own in enumerate(rows.of_sequences):
        there = rows.positions[own].astype(np.int64)  # positions of the keys that there are
        pair = step.own[-1] if op.cache is None else step.caches[op.cache]
        for row in own:
            position = int(rows.positions[row])
            first = 0 if op.before is None else max(0, position - op.before)
            end = int(there[-1]) + 1 if op.after is None else min(int(there[-1]), position + op.after) + 1
            if op.cache is not None:
                seen = np.arange(first, end)
                found = rows.cells(op.cache, sequence, seen)
            else:
                in_sight = (there >= first) & (there < end)
                seen, found = there[in_sight], own[in_sight]
            at = np.clip(seen - position, -op.reach, op.reach) + op.reach
            scoring = Scoring(op.scale, op.soft_cap, sinks, None if by_distance is None else by_distance[..., at])
            keys, values = pair.keys.read(found), pair.values.read(found)
            result[row] = attend(grouped[row], keys, values, seen, scoring).reshape(-1)
    step.slots[op.output] = result


@_meaning(lowered_ops.GatedOp)
def _gated(op: lowered_ops.GatedOp, step: Step) -> None:
    x = step.slots[op.input]
    step.slots[op.output] = gated(x[:, : op.width], x[:, op.width :], op.activation)


@_meaning(lowered_ops.ActivateOp)
def _activate(op: lowered_ops.ActivateOp, step: Step) -> None:
    step.slots[op.output] = activate(step.slots[op.input], op.activation)


@_meaning(lowered_ops.AddOp)
def _add(op: lowered_ops.AddOp, step: Step) -> None:
    step.slots[op.output] = step.slots[op.output] + step.slots[op.input]


@_meaning(lowered_ops.ScaleOp)
def _scale(op: lowered_ops.ScaleOp, step: Step) -> None:
    step.slots[op.output] = step.slots[op.input] * np.float32(op.factor)


@_meaning(lowered_ops.SelectOp)
def _select(op: lowered_ops.SelectOp, step: Step) -> None:
    step.slots[op.output] = step.slots[op.input][step.rows.selected]


@_meaning(lowered_ops.PoolOp)
def _pool(op: lowered_ops.PoolOp, step: Step) -> None:
    x = step.slots[op.input]
    for sequence, own in enumerate(step.rows.of_sequences):
        match op.kind:
            case "mean":
                total = np.zeros(op.width, np.float32)
                for row in own:
                    total = total + x[row]
                step.slots[op.output][sequence] = total / np.float32(len(own))
            case "first":
                step.slots[op.output][sequence] = x[own[0]]
            case "last":
                step.slots[op.output][sequence] = x[own[-1]]


@_meaning(lowered_ops.CopyOp)
def _copy(op: lowered_ops.CopyOp, step: Step) -> None:
    step.slots[op.output][:, op.output_column : op.output_column + op.width] = step.slots[op.input]
