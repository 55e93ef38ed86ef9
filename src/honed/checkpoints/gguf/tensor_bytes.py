"""The bytes of a tensor of a GGUF file, put together of the weights that lie in it.

Rows are whole numbers of blocks, so rows of codes go to their places as they are. Not here: which tensors there are
and in which type (`tensor_plan.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.gguf.names import split_halves
from honed.checkpoints.gguf.tensor_plan import PlannedTensor
from honed.encodings.base import Encoded
from honed.encodings.dense import bfloat16_to_float32, float32_to_bfloat16
from honed.encodings.gguf_formats import BlockFormat
from honed.encodings.gguf_kept import keep
from honed.encodings.gguf_rounding import ROUNDING, round_rows
from honed.errors import FormatError
from honed.models.stored import Stored

_CHUNK_VALUES = 1 << 22
_FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
Bytes = NDArray[np.uint8]


def tensor_bytes(planned: PlannedTensor, weight: Callable[[str], Encoded]) -> tuple[Bytes, float]:
    """[rows, bytes of a row], and how far codes that were kept are off at most (`Kept.error`).

    FormatError naming the weight for a value that is not finite, or that the type cannot hold.
    """
    shape, found = planned.written.shape, planned.written.format
    rows = math.prod(shape[:-1])
    out = np.zeros((rows, planned.written.nbytes // rows), np.uint8)
    error = 0.0
    for name, form in planned.pieces:
        encoded = weight(name)
        if len(shape) == 1 or form.transposed:
            _put_values(out, encoded, form, name, planned)
            continue
        places = _places(form, planned)
        if planned.kept:
            kept = keep(encoded)
            out[places] = kept.rows
            error = max(error, kept.error)
            continue
        if len(encoded.shape) == 1:
            _check(encoded.decode(), name)
            out[places] = _rows(encoded.decode()[None] - np.float32(form.added), found, name)
            continue
        step = max(1, _CHUNK_VALUES // shape[-1])
        for first in range(0, encoded.shape[0], step):
            part = slice(first, first + step)
            values = encoded.decode(part)
            _check(values, name)
            out[places[part]] = _rows(values - np.float32(form.added), found, name)
    return out, error


def _places(form: Stored, planned: PlannedTensor) -> NDArray[np.intp]:
    """The row of the tensor, all matrices behind each other, that each row of the weight becomes."""
    shape = form.tensor.shape
    within = shape[-2] if len(shape) > 2 or form.matrix is None else 1
    rows = np.arange(within, dtype=np.intp) if form.rows is None else form.rows.numbers()
    if planned.heads is not None:
        rows = split_halves(within, planned.heads)[rows]
    return rows if form.matrix is None else form.matrix * within + rows


def _put_values(out: Bytes, encoded: Encoded, form: Stored, name: str, planned: PlannedTensor) -> None:
    """Single floats: a vector, or part of one, or a matrix that lies as (in, out)."""
    found = planned.written.format
    kind = np.dtype(_FLOATS[found.name])
    whole = out.view(kind).reshape(form.tensor.shape)
    values = encoded.decode()
    _check(values, name)
    lying = whole if form.matrix is None else whole[form.matrix]
    lying = lying.T if form.transposed else lying
    stored = _rows((values - np.float32(form.added)).reshape(1, -1), found, name).view(kind).reshape(values.shape)
    rows = np.arange(len(lying)) if form.rows is None else form.rows.numbers()
    lying[rows if planned.heads is None else split_halves(len(lying), planned.heads)[rows]] = stored


def _rows(values: NDArray[np.float32], found: BlockFormat, name: str) -> Bytes:
    """Rows of float32 as bytes of that type."""
    if found.name in ROUNDING:
        stored = round_rows(found.name, values)
        for field in found.scales:
            if not np.isfinite(stored.view(found.layout)[field]).all():
                raise _too_large(name, found)
        return stored
    if found.name == "F32":
        return np.ascontiguousarray(values, "<f4").view(np.uint8)
    if found.name == "BF16":
        bits = float32_to_bfloat16(values)
        if not np.isfinite(bfloat16_to_float32(bits)).all():
            raise _too_large(name, found)
        return bits.astype("<u2", copy=False).view(np.uint8)
    with np.errstate(over="ignore"):
        halves = values.astype("<f2")
    if not np.isfinite(halves).all():
        raise _too_large(name, found)
    return halves.view(np.uint8)


def _check(values: NDArray[np.float32], name: str) -> None:
    if not np.isfinite(values).all():
        raise FormatError("weights", name, "has a value that is not finite")


def _too_large(name: str, found: BlockFormat) -> FormatError:
    return FormatError("weights", name, f"has a value that {found.name} cannot hold; choose BF16 or F32")
