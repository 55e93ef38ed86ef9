"""How a weight that no pass encodes is stored: value by value, in which type."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from honed.compress.narrowing import Narrow
from honed.compress.weights import DeferredWeight
from honed.encodings.base import Encoded
from honed.encodings.dense import Dense, float32_to_bfloat16
from honed.encodings.grouping import CHUNK_VALUES
from honed.encodings.scheme import DenseScheme


def dense_scheme(weight: Encoded, *, exact: bool = False) -> DenseScheme:
    """How an unquantized weight is stored: 16-bit types and vectors as they are, other matrices as bfloat16, or where
    they are to be `exact` as float32. One that a pass made anew has the type of its source."""
    while isinstance(weight, DeferredWeight | Narrow):
        weight = weight.source
    if isinstance(weight, Dense) and (weight.dtype != "float32" or len(weight.shape) < 2):
        return DenseScheme(weight.dtype)
    return DenseScheme("bfloat16" if not exact and len(weight.shape) > 1 else "float32")


def to_dense(weight: Encoded, scheme: DenseScheme) -> Dense:
    """The weight in the type of its scheme, rounded to nearest even where that is narrower."""
    if isinstance(weight, Dense) and weight.dtype == scheme.dtype:
        return weight
    if scheme.dtype == "bfloat16":
        values = np.empty(weight.shape, np.uint16)
        for rows in row_chunks(weight.shape):
            values[rows] = float32_to_bfloat16(weight.decode(rows))
        return Dense(values, "bfloat16")
    return Dense(weight.decode().astype(scheme.dtype), scheme.dtype)


def row_chunks(shape: tuple[int, ...]) -> Iterator[slice]:
    """All rows of a weight, in ranges of which one may be decoded at a time."""
    step = max(1, CHUNK_VALUES // shape[-1])
    return (slice(first, min(first + step, shape[0])) for first in range(0, shape[0], step))
