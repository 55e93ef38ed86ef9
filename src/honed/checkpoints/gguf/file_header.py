"""The header of a GGUF file of version 3 as bytes: keys, and the directory of its tensors (ggml's docs/gguf.md).

Whole numbers are written as uint32 where they fit, numbers as float32, an array of numpy in its own type. Not here:
what the keys say (`model_keys.py`, `tokenizer_keys.py`), and reading (`header.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from honed.encodings.gguf_formats import BlockFormat
from honed.lazy_imports import numpy as np
from honed.records import dataclass

ALIGNMENT = 32
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _UINT64, _INT64 = 4, 5, 6, 7, 8, 9, 10, 11
_NUMPY = {"u1": 0, "i1": 1, "u2": 2, "i2": 3, "u4": 4, "i4": 5, "f4": 6, "b1": 7, "u8": 10, "i8": 11, "f8": 12}


@dataclass(frozen=True)
class WrittenTensor:
    """What the directory says of a tensor: `shape` outermost first."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat

    @property
    def nbytes(self) -> int:
        values = 1
        for extent in self.shape:
            values *= extent
        return values // self.format.values * self.format.nbytes


def padded(nbytes: int) -> int:
    """Bytes that a tensor takes with what fills it up to where the next one may begin."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def header_bytes(keys: Mapping[str, Any], tensors: Iterable[WrittenTensor]) -> bytes:
    """Up to where the data of the first tensor begins; the data of each begins behind that of the one before."""
    listed = list(tensors)
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(listed), len(keys))]
    for key, value in keys.items():
        parts += [_text(key), _value(value)]
    position = 0
    for tensor in listed:
        shape = tensor.shape[::-1]
        kind = tensor.format.type_id
        parts += [_text(tensor.name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, position)]
        position += padded(tensor.nbytes)
    begin = b"".join(parts)
    return begin + bytes(padded(len(begin)) - len(begin))


def _text(value: str) -> bytes:
    stored = value.encode()
    return struct.pack("<Q", len(stored)) + stored


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        if value < 0:
            small = value >= -(1 << 31)
            return struct.pack("<Ii" if small else "<Iq", _INT32 if small else _INT64, value)
        return struct.pack("<II", _UINT32, value) if value < 1 << 32 else struct.pack("<IQ", _UINT64, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, np.ndarray):
        kind = _NUMPY[value.dtype.str[1:]]
        stored = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + stored
    return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_text, value))
