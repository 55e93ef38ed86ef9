"""Writes safetensors files (https://github.com/huggingface/safetensors#format) tensor by tensor, in any order.

The header comes first in the file, so every size is known before; the space is taken from the disk at once, and no
tensor is held longer than its own write. Tensors lie by falling alignment and then by name, so that each is
aligned and the bytes do not depend on the order of writing. Reading is in `reader.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from honed.checkpoints.safetensors.spec import TensorSpec
from honed.lazy_imports import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_STORAGE = {"I64": "<i8", "F32": "<f4", "I32": "<i4", "F16": "<f2", "BF16": "<u2", "I8": "|i1", "U8": "|u1"}


class SafetensorsWriter:
    """A file being written. Leaving the context flushes it to the disk; missing tensors are an error."""

    def __init__(self, path: Path, specs: Iterable[TensorSpec], metadata: Mapping[str, str]) -> None:
        ordered = _ordered(specs)
        header = _header(ordered, metadata)
        self._specs = {spec.name: spec for spec in ordered}
        self._offsets: dict[str, int] = {}
        position = len(header)
        for spec in ordered:
            self._offsets[spec.name] = position
            position += spec.nbytes
        self._missing = set(self._specs)
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            # A full disk is found here and not after minutes of work.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file, 0, position)
            else:
                os.ftruncate(self._file, position)
            self._put(memoryview(header), 0)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> SafetensorsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._missing:
                    raise ValueError(f"tensors never written: {sorted(self._missing)[:3]}")
                os.fsync(self._file)
        finally:
            os.close(self._file)

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Writes one tensor. ValueError where its type, shape or name is not what the header says."""
        spec = self._specs.get(name)
        if spec is None or name not in self._missing:
            raise ValueError(f"{name} is not in the header, or was written before")
        if values.dtype != np.dtype(_STORAGE[spec.dtype]) or values.shape != spec.shape:
            raise ValueError(f"{name} is {values.dtype} {values.shape}, the header says {spec.dtype} {spec.shape}")
        self._put(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data, self._offsets[name])
        self._missing.discard(name)

    def _put(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written


def file_size(specs: Iterable[TensorSpec], metadata: Mapping[str, str]) -> int:
    """Bytes of the file that a writer of these tensors makes."""
    ordered = _ordered(specs)
    return len(_header(ordered, metadata)) + sum(spec.nbytes for spec in ordered)


def _ordered(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    return sorted(specs, key=lambda spec: (-np.dtype(_STORAGE[spec.dtype]).itemsize, spec.name))


def _header(ordered: list[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for spec in ordered:
        end = position + spec.nbytes
        entries[spec.name] = {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
