"""A graph without caches on the native executor, once: rows in, the rows of its results out.

For whoever wants to see what is computed inside a model; weights are packed as they are given, and nothing is kept. Not
here: how a graph is cut out of a model (`plan/piece.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
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
from honed.plan.build import plan_graph

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


def run_piece(graph: Graph, weights: Mapping[str, Encoded], batch: RowBatch, threads: int) -> dict[str, Floats]:
    """The results of the graph by name, all rows of the batch selected.

    Everything is multiplied in float32: weights in float32 and bfloat16 as they are, others decoded. Rows are the same
    to the bit whatever the number of threads and the instruction set, and each sequence whatever the others.
    PlanError for a graph that the executor does not run (`why_not`), NativeError where it refuses a size or HONED_ISA,
    MachineError where memory or threads run out.
    """
    dense = _InFull(weights)
    stages = plan_graph(graph, dense, "auto")
    rows = len(batch.positions)
    try:
        packed = Packer(None, stages.source, "auto").pack_all(stages.plan.weights, threads)
        plan = native_plan(stages.plan, packed)
    except ValueError as error:
        raise NativeError(f"the executor refuses a part of the model: {error}") from error
    except MemoryError as error:
        raise MachineError("not enough memory for the packed weights of a part of the model") from error
    try:
        executor = extension.Executor(plan, None, rows, rows, threads, None)
    except ValueError as error:
        raise NativeError(f"the executor cannot be made: {error}") from error
    except RuntimeError as error:
        raise MachineError(f"the executor cannot be made: {error}") from error
    except MemoryError as error:
        raise MachineError(f"not enough memory for a part of the model over {rows} rows") from error
    selects = any(slot.rows == "selected" for slot in stages.plan.slots)
    return executor.run(
        {each.name: batch.inputs[each.name] for each in stages.plan.inputs if each.name != POSITIONS},
        batch.positions,
        batch.sequences,
        None,
        np.arange(rows, dtype=np.int32) if selects else None,
    )


class _InFull:
    """Weights as they are multiplied in full, each made once."""

    def __init__(self, weights: Mapping[str, Encoded]) -> None:
        self._weights = weights
        self._made: dict[str, Encoded] = {}

    def weight(self, name: str) -> Encoded:
        if name not in self._made:
            weight = self._weights[name]
            exact = isinstance(weight, Dense) and weight.dtype != "float16"
            self._made[name] = weight if exact else Dense(weight.decode(), "float32")
        return self._made[name]


class _AnyWeights:
    """Says of every weight that it is dense, for a plan that is not run."""

    def weight(self, name: str) -> Encoded:
        raise PlanError(f"{name}: is asked for by a plan that is not run")

    def scheme(self, name: str) -> Scheme:
        return DenseScheme("float32")

    def head_scheme(self) -> Scheme | None:
        return None
