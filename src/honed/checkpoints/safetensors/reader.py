"""safetensors files: tensors mapped, once the header is checked (`header.py`).

Types that are described but not read here are refused when the tensor is asked for. Not here: several files as one
model (`huggingface/`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.mapping import give_back, map_file
from honed.checkpoints.safetensors.header import BITS, Entry, parse_header
from honed.errors import UnsupportedError
from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["Entry", "SafetensorsFile", "parse_header"]

STORAGE = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1", "U8": "u1", "I32": "<i4", "I64": "<i8"}
"""numpy types of the ones that are read; bfloat16 as its 16 bits."""


class SafetensorsFile:
    """One file. Opening it reads and checks the header. Errors: FormatError, SourceError."""

    def __init__(self, path: Path, buffer: memoryview | None = None) -> None:
        """`buffer` stands in for the file's bytes."""
        self.path = path
        self._buffer = map_file(path) if buffer is None else buffer
        self.entries, self.metadata = parse_header(self._buffer, path)

    def tensor(self, name: str) -> NDArray[Any]:
        """The tensor, mapped and read-only (a copy only where its bytes are not aligned); bfloat16 as uint16 bits.

        Unknown name: KeyError. A type without a numpy counterpart: UnsupportedError.
        """
        entry = self.entries[name]
        if entry.dtype not in STORAGE:
            raise UnsupportedError(
                f"{self.path}: tensor {name}: type {entry.dtype} is not supported; supported are {', '.join(STORAGE)}"
            )
        if not entry.nbytes:  # numpy takes no empty buffer
            return np.empty(entry.shape, STORAGE[entry.dtype])
        return np.frombuffer(self.stored(name), STORAGE[entry.dtype]).reshape(entry.shape)

    def stored(self, name: str) -> memoryview:
        """The bytes of a tensor, mapped and read-only (a copy only where they are not aligned).

        Unknown name: KeyError.
        """
        entry = self.entries[name]
        mapped = self._buffer[entry.start : entry.start + entry.nbytes]
        return mapped if entry.start % max(BITS[entry.dtype] // 8, 1) == 0 else memoryview(bytes(mapped))

    def give_back(self) -> None:
        """The pages read so far: see `checkpoints/mapping.py`."""
        give_back(self._buffer)
