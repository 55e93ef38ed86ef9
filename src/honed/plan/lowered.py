"""The lowered plan: ops over numbered slots and weights, the same for every backend that runs it.

Each op class mirrors one code of native/plan/op.h, whose table says which field goes where in the native record;
`record` puts it there. Weights are named, with the columns they take in packed matrices, and not yet read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from honed.later import numpy as np
from honed.ops.table import ACTIVATIONS, Activation
from honed.plan.formats import Format
from honed.plan.graph import Epilogue, RowKind
from honed.plan.plain import Plain
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


PANEL_COLUMNS = 32
TILE_COLUMNS = 16
EPILOGUES: tuple[Epilogue, ...] = ("store", "add", "gated_silu", "gated_gelu_tanh")
NO_WEIGHT = -1


@dataclass(frozen=True, eq=False, repr=False)
class Record(Plain):
    """An op as the native side takes it."""

    code: str
    input: int
    output: int
    weights: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    scalars: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class EmbedOp(Plain):
    """Rows of a table, by token."""

    output: int
    table: int
    width: int

    def record(self) -> Record:
        return Record("embed", 0, self.output, (self.table,), (self.width,))


@dataclass(frozen=True, eq=False, repr=False)
class RmsNormOp(Plain):
    """float32 to float32."""

    input: int
    output: int
    weight: int
    width: int
    eps: float

    def record(self) -> Record:
        return Record("rms_norm", self.input, self.output, (self.weight,), (self.width,), (self.eps,))


@dataclass(frozen=True, eq=False, repr=False)
class QuantizeOp(Plain):
    """float32 to int8 rows; activation_group 0 is one scale a row."""

    input: int
    output: int
    width: int
    activation_group: int

    def record(self) -> Record:
        return Record("quantize", self.input, self.output, (), (self.width, self.activation_group))


@dataclass(frozen=True, eq=False, repr=False)
class RmsNormQuantizeOp(Plain):
    """RmsNormOp, then QuantizeOp."""

    input: int
    output: int
    weight: int
    width: int
    activation_group: int
    eps: float

    def record(self) -> Record:
        sizes = (self.width, self.activation_group)
        return Record("rms_norm_quantize", self.input, self.output, (self.weight,), sizes, (self.eps,))


@dataclass(frozen=True, eq=False, repr=False)
class MatmulOp(Plain):
    """`columns` are those written, from `output_column` of the output slot; half of the packed ones when gated."""

    input: int
    output: int
    matrix: int
    bias: int | None
    k: int
    columns: int
    epilogue: Epilogue
    activation_group: int
    output_column: int

    def record(self) -> Record:
        epilogue = EPILOGUES.index(self.epilogue)
        sizes = (self.k, self.columns, epilogue, self.activation_group, self.output_column)
        return Record("matmul", self.input, self.output, (self.matrix, _number(self.bias)), sizes)


@dataclass(frozen=True, eq=False, repr=False)
class RopeKvOp(Plain):
    """Norms of heads, rotation and KV write, in place in a row of q, k and v."""

    slot: int
    inverse_frequencies: int
    q_norm: int | None
    k_norm: int | None
    layer: int
    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    eps: float
    attention_factor: float

    @property
    def input(self) -> int:
        return self.slot

    @property
    def output(self) -> int:
        return self.slot

    def record(self) -> Record:
        weights = (self.inverse_frequencies, _number(self.q_norm), _number(self.k_norm))
        sizes = (self.heads, self.kv_heads, self.head_dim, self.rotary_dim, self.layer)
        return Record("rope_kv", self.slot, self.slot, weights, sizes, (self.eps, self.attention_factor))


@dataclass(frozen=True, eq=False, repr=False)
class AttentionOp(Plain):
    """Over the cache; the queries are the first columns of the input."""

    input: int
    output: int
    layer: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None
    scale: float

    def record(self) -> Record:
        sizes = (self.heads, self.kv_heads, self.head_dim, self.layer, self.window or 0)
        return Record("attention", self.input, self.output, (), sizes, (self.scale,))


@dataclass(frozen=True, eq=False, repr=False)
class GatedOp(Plain):
    """activation(gate) * up of gate and up side by side."""

    input: int
    output: int
    width: int
    activation: Activation

    def record(self) -> Record:
        return Record("gated", self.input, self.output, (), (self.width, ACTIVATIONS.index(self.activation)))


@dataclass(frozen=True, eq=False, repr=False)
class AddOp(Plain):
    """Adds the input to the output in place."""

    input: int
    output: int
    width: int

    def record(self) -> Record:
        return Record("add", self.input, self.output, (), (self.width,))


@dataclass(frozen=True, eq=False, repr=False)
class SelectOp(Plain):
    """The rows whose logits are asked for."""

    input: int
    output: int
    width: int

    def record(self) -> Record:
        return Record("select", self.input, self.output, (), (self.width,))


PlanOp = (
    EmbedOp
    | RmsNormOp
    | QuantizeOp
    | RmsNormQuantizeOp
    | MatmulOp
    | RopeKvOp
    | AttentionOp
    | GatedOp
    | AddOp
    | SelectOp
)


def _number(weight: int | None) -> int:
    return NO_WEIGHT if weight is None else weight


# ---- slots and weights ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class PlanSlot(Plain):
    """`width` float32 a row, or one quantized row of `width` values; slots of one stretch overlap in memory."""

    rows: RowKind
    width: int
    quantized: bool
    activation_group: int
    stretch: int


@dataclass(frozen=True, eq=False, repr=False)
class Placement(Plain):
    """Row r of the named weight goes to packed column first_column + (r // 16) * 16 * tile_step + r % 16."""

    name: str
    rows: int
    first_column: int
    tile_step: int

    @property
    def end(self) -> int:
        """One past the last packed column."""
        last = self.rows - 1
        return self.first_column + last // TILE_COLUMNS * TILE_COLUMNS * self.tile_step + last % TILE_COLUMNS + 1

    def runs(self) -> Iterator[tuple[int, int]]:
        """First and one past the last of each run of neighbouring packed columns, in the order of rows."""
        if self.tile_step == 1:
            yield self.first_column, self.first_column + self.rows
            return
        for row in range(0, self.rows, TILE_COLUMNS):
            begin = self.first_column + row * self.tile_step
            yield begin, begin + min(TILE_COLUMNS, self.rows - row)

    @property
    def columns(self) -> NDArray[np.int64]:
        """The packed column of each row."""
        return _columns(self.rows, self.first_column, self.tile_step)


@lru_cache(maxsize=256)
def _columns(rows: int, first_column: int, tile_step: int) -> NDArray[np.int64]:
    # The layers of a model are alike: few placements are different.
    row = np.arange(rows)
    columns: NDArray[np.int64] = first_column + row // TILE_COLUMNS * TILE_COLUMNS * tile_step + row % TILE_COLUMNS
    columns.flags.writeable = False
    return columns


@dataclass(frozen=True, eq=False, repr=False)
class TableWeight(Plain):
    """A matrix whose rows are looked up."""

    name: str
    rows: int
    width: int


@dataclass(frozen=True, eq=False, repr=False)
class VectorWeight(Plain):
    """A norm weight."""

    name: str
    length: int


@dataclass(frozen=True, eq=False, repr=False)
class ConstantWeight(Plain):
    """Values that the plan itself carries: inverse frequencies."""

    values: tuple[float, ...]


@dataclass(frozen=True, eq=False, repr=False)
class BiasWeight(Plain):
    """Biases in packed order, zero in columns that no part takes."""

    columns: int
    parts: tuple[Placement, ...]


@dataclass(frozen=True, eq=False, repr=False)
class MatrixWeight(Plain):
    """A packed matrix of `columns` (a multiple of 32) by k."""

    format: Format
    columns: int
    k: int
    parts: tuple[Placement, ...]


PlanWeight = TableWeight | VectorWeight | ConstantWeight | BiasWeight | MatrixWeight


@dataclass(frozen=True, eq=False, repr=False)
class LoweredPlan(Plain):
    """All that a backend needs to know; the last op writes the logits."""

    ops: tuple[PlanOp, ...]
    slots: tuple[PlanSlot, ...]
    weights: tuple[PlanWeight, ...]
    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    logits: int


def reads(op: PlanOp) -> Iterator[int]:
    """Slots whose contents the op needs."""
    if not isinstance(op, EmbedOp):
        yield op.input
    if isinstance(op, AddOp) or (isinstance(op, MatmulOp) and op.epilogue == "add"):
        yield op.output


def written_columns(op: PlanOp, slots: tuple[PlanSlot, ...]) -> tuple[int, int]:
    """First and one past the last column of its output slot that the op writes."""
    if isinstance(op, MatmulOp):
        return op.output_column, op.output_column + op.columns
    return 0, slots[op.output].width
