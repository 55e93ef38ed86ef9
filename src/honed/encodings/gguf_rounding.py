"""Values rounded to the block formats of GGUF files: those of 32 values as ggml's reference rounds them, to the bit
(`ggml-quants.c`), and Q4_K in a way of our own (`gguf_k_rounding.py`).

Scales are computed in float32 and stored in float16; codes follow from the scale before
it was rounded, as in ggml. Not here: codes that exist already (`gguf_kept.py`), and what blocks mean
(`gguf_formats.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from honed.encodings.gguf_formats import FORMATS, BlockFormat
from honed.encodings.gguf_k_rounding import q4_k

Values = NDArray[np.float32]
VALUES = 32
"""Of a block of all formats here but Q4_K."""
BY_NAME: dict[str, BlockFormat] = {entry.name: entry for entry in FORMATS.values()}


def join_halves(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes 0..15 [n, 32] as the bytes of blocks [n, 16]: the first half of a block in the low bits."""
    return codes[:, :16] | (codes[:, 16:] << np.uint8(4))


def _inverse(scales: Values) -> Values:
    with np.errstate(divide="ignore"):
        return np.where(scales == 0, np.float32(0), np.float32(1) / scales)


def _records(name: str, count: int) -> NDArray[np.void]:
    return np.zeros(count, BY_NAME[name].layout)


def _q8_0(values: Values) -> NDArray[np.void]:
    """The largest magnitude becomes 127; halves are rounded away from zero."""
    blocks = _records("Q8_0", len(values))
    scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    scaled = values * _inverse(scales)
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    whole += np.floor(2 * (magnitude - whole))
    blocks["d"] = scales[:, 0].astype(np.float16)
    blocks["codes"] = np.copysign(whole, scaled).astype(np.int8)
    return blocks


def _q4_0(values: Values) -> NDArray[np.void]:
    """The value of the largest magnitude becomes -8, with its sign in the scale."""
    blocks = _records("Q4_0", len(values))
    largest = np.abs(values).argmax(axis=1)[:, None]
    scales = np.take_along_axis(values, largest, axis=1) / np.float32(-8)
    # ggml's sum depends on whether its compiler fuses it with the product: rounded once, as float64 has it.
    shifted = values.astype(np.float64) * _inverse(scales).astype(np.float64) + 8.5
    blocks["d"] = scales[:, 0].astype(np.float16)
    blocks["codes"] = join_halves(np.trunc(shifted).clip(0, 15).astype(np.uint8))
    return blocks


def _q4_1(values: Values) -> NDArray[np.void]:
    """The smallest value becomes 0 and the largest 15."""
    blocks = _records("Q4_1", len(values))
    least = values.min(axis=1, keepdims=True)
    scales = (values.max(axis=1, keepdims=True) - least) / np.float32(15)
    codes = np.trunc((values - least) * _inverse(scales) + np.float32(0.5)).clip(0, 15)
    blocks["d"] = scales[:, 0].astype(np.float16)
    blocks["m"] = least[:, 0].astype(np.float16)
    blocks["codes"] = join_halves(codes.astype(np.uint8))
    return blocks


def _q4_k(values: Values) -> NDArray[np.void]:
    return q4_k(values, BY_NAME["Q4_K"])


ROUNDING: dict[str, Callable[[Values], NDArray[np.void]]] = {
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
}
"""By ggml's name: float32 [n, values of a block] to n records."""


def round_rows(name: str, values: Values) -> NDArray[np.uint8]:
    """Rows float32 [rows, whole blocks] as the bytes of their blocks, [rows, bytes]. Values must be finite; whether
    scales are within float16 is for the caller to see."""
    with np.errstate(over="ignore"):
        records = ROUNDING[name](values.reshape(-1, BY_NAME[name].values))
    return records.view(np.uint8).reshape(len(values), -1)
