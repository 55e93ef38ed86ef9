"""safetensors files for the tests, written byte by byte so that they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {"float32": "F32", "float16": "F16", "int8": "I8", "uint8": "U8", "int32": "I32", "int64": "I64"}


def raw_file(header: bytes | str | Mapping[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """Length, header, data; `length` lies about the header."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, bfloat16: bool = False) -> Path:
    """A well-formed file; with `bfloat16`, uint16 arrays are its bits."""
    header: dict[str, Any] = {}
    position = 0
    for name, array in arrays.items():
        dtype = "BF16" if bfloat16 and array.dtype == np.uint16 else NAMES[array.dtype.name]
        header[name] = entry(dtype, list(array.shape), position, position + array.nbytes)
        position += array.nbytes
    path.write_bytes(raw_file(header, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())))
    return path
