"""What a model takes in memory, by its plan: weights as they are packed, and its KV cache. Reads no values of weights.

What a step computes on (activations, logits) comes on top: tens of megabytes. Not here: how large a cache a server
makes, which is a share of what is free (`server/memory.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from honed.backends.base import PAGE_TOKENS, span_pages
from honed.backends.capacity import CacheGroups, cache_groups
from honed.backends.free_memory import free_memory
from honed.backends.kv_cache import kv_bytes, kv_bytes_per_position, kv_dtype
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, DenseType
from honed.errors import HonedError
from honed.lazy_imports import numpy as np
from honed.models.base import Model
from honed.models.programs import ENCODE, STEP
from honed.models.recorded import recorded
from honed.ops.graph import Graph
from honed.ops.table import Attention
from honed.ops.values import Weight
from honed.plan import lowered as low
from honed.plan.build import Stages, plan_graph
from honed.plan.formats import dense_dtype, lies_as_table
from honed.plan.source import NamedWeights

THOUSAND = 1024
"""Positions that the cache is told for."""
MOST_LAYERS = 256
"""Of a model whose plan is made only to see what it takes."""
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Needs:
    """Bytes. kv_full: of a sequence as long as the context; 0 for an encoder. window: positions that are kept at most,
    where no layer sees more; None where all are."""

    weights: int
    kv_dtype: str | None
    kv_thousand: int
    kv_full: int
    window: int | None

    def as_json(self, assumed: str | None) -> dict[str, Any]:
        free = free_memory()
        return {
            "weights_bytes": self.weights,
            "weights_assumed": assumed,
            "kv_dtype": self.kv_dtype,
            "kv_bytes_per_1024_tokens": self.kv_thousand,
            "kv_bytes_at_full_context": self.kv_full,
            "kv_window": self.window,
            "free_bytes": free,
            "fits": {
                "weights_and_1024_tokens": self.weights + self.kv_thousand <= free,
                "full_context": self.weights + self.kv_full <= free,
            },
        }


def needs(model: Model, weights: NamedWeights) -> Needs:
    """Of a model with these weights, as the native engine would run it. Errors: those of planning."""
    step = STEP in model.programs()
    graph = recorded(model) if step else recorded(model, ENCODE).giving("mean")
    stages = plan_graph(graph, weights, "auto")
    packed = sum(weight_bytes(stages, weights, weight) for weight in stages.plan.weights)
    if not step:
        return Needs(packed, None, 0, 0, None)
    dtype = kv_dtype(stages.plan, "auto")
    position, context = kv_bytes_per_position(stages.plan, dtype), model.dimensions.context
    window = _furthest(graph)
    return Needs(packed, dtype, position * THOUSAND, kv_bytes(stages.plan, _kept(graph, context), dtype), window)


def _kept(graph: Graph, context: int) -> CacheGroups:
    """What one sequence as long as the context holds."""
    every = -(-context // PAGE_TOKENS)
    groups = cache_groups(graph, every, 1, 1)
    kept = (every if one.window is None else min(every, span_pages(one.window)) for one in groups.groups)
    pages = tuple(replace(one, pages=count) for one, count in zip(groups.groups, kept, strict=True))
    return CacheGroups(pages, groups.of_cache)


def _furthest(graph: Graph) -> int | None:
    """Positions that the layer sees that sees most, its own included; None where some layers see all."""
    behind = [attention.spec.before for attention in graph.operations(Attention)]
    windows = [before + 1 for before in behind if before is not None]
    return max(windows) if windows and len(windows) == len(behind) else None


def weight_bytes(stages: Stages, weights: NamedWeights, weight: low.PlanWeight) -> int:
    """What one weight of a plan takes, once it is packed, or mapped where it is not."""
    match weight:
        case low.MatrixWeight(format=form, columns=columns, k=k):
            return form.packed_bytes(columns, k)
        case low.TableWeight(name=name, rows=rows, width=width):
            table = weights.weight(name)
            if lies_as_table(table, "auto"):
                return table.nbytes
            return rows * width * _BYTES[dense_dtype(table, "auto")]
        case low.VectorWeight(length=length) | low.LookupFactors(length=length) | low.BiasWeight(columns=length):
            return 4 * length
        case low.ConstantWeight(values=values):
            return 4 * len(values)
        case _:
            assert_never(weight)


class Shapes:
    """Weights that are not there, of one type of floats and the shapes that a model gives them."""

    def __init__(self, weights: Mapping[str, Weight], dtype: DenseType) -> None:
        self._weights = weights
        self._dtype = dtype

    def weight(self, name: str) -> Encoded:
        """Takes no memory: all of its values are one."""
        stored = np.zeros((), np.float32 if self._dtype == "float32" else np.uint16)
        return Dense(np.broadcast_to(stored, self._weights[name].shape), self._dtype)


def needs_without_weights(model: Model, dtype: DenseType) -> Needs | None:
    """Of a model whose weights are not there, or not read, with those of this type. None where it is not planned."""
    if model.dimensions.layers > MOST_LAYERS:
        return None
    try:
        return needs(model, Shapes(model.weights(), dtype))
    except HonedError:
        return None
