"""The weights of a plan as bytes that can be kept, and back: for each weight its data and its column scales.

A table that is borrowed from the file of the checkpoint is not kept a second time. Not here: where the bytes are
kept (`packed_cache.py`), and packing (`packing.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from honed.backends.panels import borrowed_matrix
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, MappedDense
from honed.errors import PlanError
from honed.lazy_imports import numpy as np
from honed.native import extension
from honed.plan import lowered as low
from honed.plan.formats import DenseDtype, DensePolicy, dense_dtype, lies_as_table
from honed.plan.source import PlanSource

_NONE = memoryview(b"")


def to_bytes(
    specs: Sequence[low.PlanWeight], weights: Sequence[extension.Weight], source: PlanSource, policy: DensePolicy
) -> Iterator[memoryview]:
    """Two arrays for each weight, in order."""
    for spec, weight in zip(specs, weights, strict=True):
        borrowed = isinstance(spec, low.TableWeight) and borrowed_table(source.weight(spec.name), policy) is not None
        yield _NONE if borrowed else weight.data.data
        yield weight.column_scales.view(np.uint8).data if isinstance(spec, low.MatrixWeight) else _NONE


def from_bytes(
    specs: Sequence[low.PlanWeight], kept: Sequence[memoryview], source: PlanSource, policy: DensePolicy
) -> list[extension.Weight]:
    """The weights over what `to_bytes` gave, borrowed where it is large. ValueError if sizes are not those planned."""
    if len(kept) != 2 * len(specs):
        raise ValueError(f"{len(kept)} arrays kept for {len(specs)} weights")
    pairs = zip(kept[::2], kept[1::2], strict=True)
    return [_weight(spec, data, scales, source, policy) for spec, (data, scales) in zip(specs, pairs, strict=True)]


def _weight(
    spec: low.PlanWeight, data: memoryview, scales: memoryview, source: PlanSource, policy: DensePolicy
) -> extension.Weight:
    match spec:
        case low.MatrixWeight():
            return borrowed_matrix(spec, data, scales)
        case low.TableWeight():
            return _table(spec, data, source, policy)
        case low.VectorWeight(length=length) | low.LookupFactors(length=length) | low.BiasWeight(columns=length):
            return _vector(data, length)
        case low.ConstantWeight(values=values):
            return _vector(data, len(values))
        case _:
            raise PlanError(f"{spec}: is no weight of a plan")


def _vector(data: memoryview, length: int) -> extension.Weight:
    if len(data) != 4 * length:
        raise ValueError(f"{len(data)} bytes kept for a vector of {length}")
    return extension.vector(data.cast("f"))


def _table(spec: low.TableWeight, data: memoryview, source: PlanSource, policy: DensePolicy) -> extension.Weight:
    weight = source.weight(spec.name)
    borrowed = borrowed_table(weight, policy)
    if borrowed is not None:
        return borrowed
    dtype = dense_dtype(weight, policy)
    if len(data) != spec.rows * spec.width * (4 if dtype == "float32" else 2):
        raise ValueError(f"{len(data)} bytes kept for a table of {spec.rows} x {spec.width}")
    return extension.table(_cast(data, dtype, (spec.rows, spec.width)), dtype)


def borrowed_table(weight: Encoded, policy: DensePolicy) -> extension.Weight | None:
    """The table over the file of the checkpoint, where its rows are looked up as they lie there."""
    if isinstance(weight, MappedDense) and weight.dtype != "float16":  # 16-bit floats are no type of memoryview
        return extension.table(_cast(weight.stored, weight.dtype, weight.shape), weight.dtype)
    if isinstance(weight, Dense):
        return extension.table(np.ascontiguousarray(weight.values), weight.dtype)
    if lies_as_table(weight, policy):
        return extension.block_table(weight.stored, weight.type_name, weight.shape[1])
    return None


def _cast(data: memoryview, dtype: DenseDtype, shape: tuple[int, ...]) -> memoryview[Any]:
    return data.cast("f", shape) if dtype == "float32" else data.cast("H", shape)
