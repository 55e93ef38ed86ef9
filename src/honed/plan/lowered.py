"""The lowered plan: ops over numbered slots and weights, the same for every backend that runs it.

Weights are named, with the columns they take in packed matrices, and not yet read. Not here: the ops
(`lowered_ops.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from honed.lazy_imports import numpy as np
from honed.ops.values import RowSpace
from honed.plan.formats import Format
from honed.plan.lowered_ops import AddOp, CombineOp, CopyOp, EmbedOp, ExpertMatmulOp, MatmulOp, PlanOp
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


PANEL_COLUMNS = 32
TILE_COLUMNS = 16


@dataclass(frozen=True)
class PlanSlot:
    """`width` float32 a row, or one quantized row of `width` values; slots of one stretch overlap in memory.

    copies, experts: as `honed.ops.values.Value` has them.
    """

    rows: RowSpace
    width: int
    quantized: bool
    activation_group: int
    stretch: int
    copies: int = 1
    experts: int = 0


@dataclass(frozen=True)
class Placement:
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


@dataclass(frozen=True)
class TableWeight:
    """A matrix whose rows are looked up."""

    name: str
    rows: int
    width: int


@dataclass(frozen=True)
class VectorWeight:
    """A norm weight."""

    name: str
    length: int


@dataclass(frozen=True)
class LookupFactors:
    """What a row of the head is multiplied with to be a row of the table `name` that is tied to it."""

    name: str
    length: int


@dataclass(frozen=True)
class ConstantWeight:
    """Values that the plan itself carries: inverse frequencies."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class BiasWeight:
    """Biases in packed order, zero in columns that no part takes."""

    columns: int
    parts: tuple[Placement, ...]


@dataclass(frozen=True)
class MatrixWeight:
    """A packed matrix of `columns` (a multiple of 32) by k."""

    format: Format
    columns: int
    k: int
    parts: tuple[Placement, ...]


PlanWeight = TableWeight | VectorWeight | LookupFactors | ConstantWeight | BiasWeight | MatrixWeight


@dataclass(frozen=True)
class PlanIds:
    """An input of the plan: an id for each token, below `bound`."""

    name: str
    bound: int


@dataclass(frozen=True)
class PlanFloats:
    """An input of the plan: a row of floats for each token."""

    name: str
    width: int


PlanInput = PlanIds | PlanFloats


@dataclass(frozen=True)
class PlanOutput:
    """A result: the slot that holds it after the last op."""

    name: str
    slot: int


@dataclass(frozen=True)
class PlanCache:
    """Keys and values of one attention."""

    kv_heads: int
    key_width: int
    value_width: int


@dataclass(frozen=True)
class LoweredPlan:
    """All that a backend needs to know. Ops name inputs and caches by their numbers."""

    ops: tuple[PlanOp, ...]
    slots: tuple[PlanSlot, ...]
    weights: tuple[PlanWeight, ...]
    inputs: tuple[PlanInput, ...]
    outputs: tuple[PlanOutput, ...]
    caches: tuple[PlanCache, ...]

    def output(self, name: str) -> int:
        """The slot of a result."""
        return next(result.slot for result in self.outputs if result.name == name)


def weights(op: PlanOp) -> Iterator[int]:
    """Numbers of the weights that the op reads."""
    for field in op.weight_fields:
        number = getattr(op, field)
        if isinstance(number, tuple):
            yield from number
        elif number is not None:
            yield number


def reads(op: PlanOp) -> Iterator[int]:
    """Slots whose contents the op needs."""
    for field in op.slot_fields:
        if field != "output":
            yield getattr(op, field)
    if isinstance(op, AddOp) or (isinstance(op, EmbedOp | MatmulOp | CombineOp) and op.epilogue == "add"):
        yield op.output


def written_columns(op: PlanOp, slots: tuple[PlanSlot, ...]) -> tuple[int, int]:
    """First and one past the last column of its output slot that the op writes."""
    match op:
        case MatmulOp() | ExpertMatmulOp():
            return op.output_column, op.output_column + op.columns
        case CopyOp():
            return op.output_column, op.output_column + op.width
        case _:
            return 0, slots[op.output].width
