"""The weights of a plan as bytes that can be kept, and back: for each weight its data and its column scales.

A table that is borrowed from the file of the checkpoint is not kept a second time. Not here: where the bytes are
kept (`packed_cache.py`), and packing (`packing.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from honed.encodings.base import Encoded
from honed.encodings.dense import Dense
from honed.errors import PlanError
from honed.native import extension
from honed.plan import lowered as low
from honed.plan.formats import (
    BlocksFormat,
    CodebookFormat,
    DenseFormat,
    DensePolicy,
    Int4Format,
    Int8Format,
    dense_dtype,
    lies_as_table,
)
from honed.plan.source import PlanSource

Bytes = NDArray[np.uint8]

_NONE: Bytes = np.empty(0, dtype=np.uint8)


def to_bytes(
    specs: Sequence[low.PlanWeight], weights: Sequence[extension.Weight], source: PlanSource, policy: DensePolicy
) -> Iterator[Bytes]:
    """Two arrays for each weight, in order."""
    for spec, weight in zip(specs, weights, strict=True):
        borrowed = isinstance(spec, low.TableWeight) and borrowed_table(source.weight(spec.name), policy) is not None
        yield _NONE if borrowed else weight.data
        yield weight.column_scales.view(np.uint8) if isinstance(spec, low.MatrixWeight) else _NONE


def from_bytes(
    specs: Sequence[low.PlanWeight], kept: Sequence[Bytes], source: PlanSource, policy: DensePolicy
) -> list[extension.Weight]:
    """The weights over what `to_bytes` gave, borrowed where it is large. ValueError if sizes are not those planned."""
    if len(kept) != 2 * len(specs):
        raise ValueError(f"{len(kept)} arrays kept for {len(specs)} weights")
    pairs = zip(kept[::2], kept[1::2], strict=True)
    return [_weight(spec, data, scales, source, policy) for spec, (data, scales) in zip(specs, pairs, strict=True)]


def _weight(
    spec: low.PlanWeight, data: Bytes, scales: Bytes, source: PlanSource, policy: DensePolicy
) -> extension.Weight:
    match spec:
        case low.MatrixWeight():
            return _matrix(spec, data, scales)
        case low.TableWeight():
            return _table(spec, data, source, policy)
        case low.VectorWeight(length=length) | low.BiasWeight(columns=length):
            return _vector(data, length)
        case low.ConstantWeight(values=values):
            return _vector(data, len(values))
        case _:
            raise PlanError(f"{spec}: is no weight of a plan")


def _matrix(spec: low.MatrixWeight, data: Bytes, scales: Bytes) -> extension.Weight:
    match spec.format:
        case DenseFormat(dtype=dtype):
            return extension.prepacked_dense(spec.columns, spec.k, dtype, data)
        case Int8Format(group=group):
            return extension.prepacked_int8(spec.columns, spec.k, group, data, scales.view(np.float32))
        case Int4Format(group=size, offset=offset):
            return extension.prepacked_int4(spec.columns, spec.k, size, offset, data)
        case CodebookFormat(group=size, table=table):
            codebook = np.array(table, dtype=np.int8)
            return extension.prepacked_codebook(spec.columns, spec.k, size, codebook, data)
        case BlocksFormat(type_name=type_name):
            return extension.prepacked_blocks(spec.columns, spec.k, type_name, data)


def _vector(data: Bytes, length: int) -> extension.Weight:
    values = data.view(np.float32)
    if len(values) != length:
        raise ValueError(f"{len(values)} values kept for a vector of {length}")
    return extension.vector(values)


def _table(spec: low.TableWeight, data: Bytes, source: PlanSource, policy: DensePolicy) -> extension.Weight:
    weight = source.weight(spec.name)
    borrowed = borrowed_table(weight, policy)
    if borrowed is not None:
        return borrowed
    dtype = dense_dtype(weight, policy)
    return extension.table(data.view(np.float32 if dtype == "float32" else np.uint16).reshape(spec.rows, -1), dtype)


def borrowed_table(weight: Encoded, policy: DensePolicy) -> extension.Weight | None:
    """The table over the file of the checkpoint, where its rows are looked up as they lie there."""
    if isinstance(weight, Dense):
        return extension.table(np.ascontiguousarray(weight.values), weight.dtype)
    if lies_as_table(weight, policy):
        return extension.block_table(weight.stored, weight.type_name, weight.shape[1])
    return None
