"""A graph without caches on the native executor: rows in, the rows of its results out.

For whoever wants to see what is computed inside a model, or how long it takes. Weights are packed as they are given.
Not here: how a graph is cut out of a model (`plan/piece.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honed.backends.native_plan import native_plan
from honed.backends.packing import Packer
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseScheme
from honed.encodings.scheme import Scheme
from honed.errors import MachineError, NativeError, PlanError
from honed.native import extension
from honed.ops.graph import Graph
from honed.ops.values import POSITIONS
from honed.plan.build import ALL_FUSIONS, plan_graph

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RowBatch:
    """The inputs of a graph by name, and where each row stands: sequences are numbered from 0, back to back."""

    inputs: Mapping[str, NDArray[Any]]
    positions: NDArray[np.int32]
    sequences: NDArray[np.int32]


def why_not(graph: Graph) -> str | None:
    """What keeps the executor from running a graph; None where it can. Asks for no weight."""
    try:
        plan_graph(graph, _AnyWeights(), "auto")
    except PlanError as error:
        return str(error)
    return None


class Piece:
    """A graph with its weights packed, to be run as often as is asked.

    Errors: PlanError for a graph that the executor does not run (`why_not`), NativeError where it refuses a size or an
    instruction set, MachineError where memory or threads run out.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Encoded],
        rows: int,
        threads: int,
        *,
        as_stored: Set[str] = frozenset(),
        isa: str | None = None,
        fusions: Iterable[str] = ALL_FUSIONS,
    ) -> None:
        """`rows`: of a batch at most. `as_stored`: matrices that run in their own encoding, with activations as that
        has them; all others are multiplied in float32. `isa` None: the best, or HONED_ISA."""
        stages = plan_graph(graph, _InFull(weights, as_stored), "auto", fusions)
        try:
            packed = Packer(None, stages.source, "auto").pack_all(stages.plan.weights, threads)
            plan = native_plan(stages.plan, packed)
        except ValueError as error:
            raise NativeError(f"the executor refuses a part of the model: {error}") from error
        except MemoryError as error:
            raise MachineError("not enough memory for the packed weights of a part of the model") from error
        try:
            self._executor = extension.Executor(plan, None, rows, rows, threads, isa)
        except ValueError as error:
            raise NativeError(f"the executor cannot be made: {error}") from error
        except RuntimeError as error:
            raise MachineError(f"the executor cannot be made: {error}") from error
        except MemoryError as error:
            raise MachineError(f"not enough memory for a part of the model over {rows} rows") from error
        self._inputs = [each.name for each in stages.plan.inputs if each.name != POSITIONS]
        self._selects = any(slot.rows == "selected" for slot in stages.plan.slots)

    def run(self, batch: RowBatch) -> dict[str, Floats]:
        """The results of the graph by name, all rows of the batch selected."""
        return self._executor.run(
            {name: batch.inputs[name] for name in self._inputs},
            batch.positions,
            batch.sequences,
            None,
            np.arange(len(batch.positions), dtype=np.int32) if self._selects else None,
        )

    def profile(self, batch: RowBatch) -> list[tuple[str, float]]:
        """Runs a batch and gives (name, seconds) of each op in order."""
        self._executor.set_profiling(True)
        try:
            self.run(batch)
            return self._executor.timings()
        finally:
            self._executor.set_profiling(False)


def run_piece(graph: Graph, weights: Mapping[str, Encoded], batch: RowBatch, threads: int) -> dict[str, Floats]:
    """The results of the graph by name, all rows of the batch selected.

    Everything is multiplied in float32: weights in float32 and bfloat16 as they are, others decoded. Rows are the same
    to the bit whatever the number of threads and the instruction set, and each sequence whatever the others.
    Errors: those of `Piece`.
    """
    return Piece(graph, weights, len(batch.positions), threads).run(batch)


class _InFull:
    """Weights as they are multiplied in full, each made once; those that stay `as_stored` are left alone."""

    def __init__(self, weights: Mapping[str, Encoded], as_stored: Set[str]) -> None:
        self._weights = weights
        self._as_stored = as_stored
        self._made: dict[str, Encoded] = {}

    def weight(self, name: str) -> Encoded:
        if name not in self._made:
            weight = self._weights[name]
            exact = isinstance(weight, Dense) and weight.dtype != "float16"
            as_it_is = exact or name in self._as_stored
            self._made[name] = weight if as_it_is else Dense(weight.decode(), "float32")
        return self._made[name]


class _AnyWeights:
    """Says of every weight that it is dense, for a plan that is not run."""

    def weight(self, name: str) -> Encoded:
        raise PlanError(f"{name}: is asked for by a plan that is not run")

    def scheme(self, name: str) -> Scheme:
        return DenseScheme("float32")

    def head_scheme(self) -> Scheme | None:
        return None
