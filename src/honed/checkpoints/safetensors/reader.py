"""safetensors files: the header checked, tensors mapped (https://huggingface.co/docs/safetensors).

The file must be covered by its tensors exactly: no gap, no overlap, nothing after the last. Types that are described
but not read here are refused when the tensor is asked for. Not here: several files as one model (`huggingface/`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.checkpoints.json_files import parse_object
from honed.checkpoints.mapping import give_back, map_file
from honed.errors import FormatError, UnsupportedError
from honed.later import numpy as np
from honed.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_HEADER = 100_000_000
MAX_DIMENSIONS = 32
_BITS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
_BITS |= dict.fromkeys(("U16", "I16", "F16", "BF16"), 16) | dict.fromkeys(("U32", "I32", "F32"), 32)
_BITS |= dict.fromkeys(("U64", "I64", "F64", "C64"), 64) | {"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4}
_FIELDS = {"dtype", "shape", "data_offsets"}
STORAGE = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1", "U8": "u1", "I32": "<i4", "I64": "<i8"}
"""numpy types of the ones that are read; bfloat16 as its 16 bits."""


@dataclass(frozen=True)
class Entry:
    """One tensor: `start` from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


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
        return mapped if entry.start % max(_BITS[entry.dtype] // 8, 1) == 0 else memoryview(bytes(mapped))

    def give_back(self) -> None:
        """The pages read so far: see `checkpoints/mapping.py`."""
        give_back(self._buffer)


def parse_header(buffer: memoryview, path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors by name in the order of their bytes, and the free metadata."""
    if len(buffer) < 8:
        raise FormatError(path, "header length", f"the file has {len(buffer)} bytes, fewer than the 8 of the length")
    length = int.from_bytes(buffer[:8], "little")
    if length > MAX_HEADER:
        raise FormatError(path, "header length", f"is {length}, must be at most {MAX_HEADER}")
    if length > len(buffer) - 8:
        raise FormatError(path, "header length", f"is {length}, the file has {len(buffer)} bytes")
    if bytes(buffer[8:9]) != b"{":
        raise FormatError(path, "header", "does not begin with {")
    try:
        text = str(buffer[8 : 8 + length], "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(path, "header", f"is not UTF-8 at byte {8 + error.start}") from None
    header = parse_object(text, path, "header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(path, "__metadata__", "must be an object of strings")
    return _check_entries(header, 8 + length, len(buffer), path), metadata


def _check_entries(header: Mapping[str, Any], data_start: int, size: int, path: Path) -> dict[str, Entry]:
    entries = {name: _entry(name, fields, data_start, path) for name, fields in header.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].nbytes)))
    position = data_start
    for name, entry in ordered.items():
        if entry.start != position:
            fault = "overlaps the tensor before it" if entry.start < position else "leaves a gap before it"
            raise FormatError(path, f"{name}: data_offsets", f"{fault}: begins at byte {entry.start}, not {position}")
        position += entry.nbytes
    if position != size:
        fault = "bytes are missing" if position > size else "bytes follow the last tensor"
        raise FormatError(path, "data_offsets", f"{abs(size - position)} {fault}")
    return ordered


def _entry(name: str, fields: Any, data_start: int, path: Path) -> Entry:
    if not name.isprintable():
        raise FormatError(path, "tensor name", f"{name!r:.100} is not printable")
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise FormatError(path, name, "must be an object of dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise FormatError(path, f"{name}: dtype", f"{dtype!r:.60} is unknown")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(extent) for extent in shape):
        raise FormatError(path, f"{name}: shape", f"{shape!r:.60} must be a list of at most {MAX_DIMENSIONS} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        raise FormatError(path, f"{name}: data_offsets", f"{offsets!r:.60} must be a begin and an end")
    begin, end = offsets
    if end < begin or math.prod(shape) * _BITS[dtype] != 8 * (end - begin):
        raise FormatError(path, f"{name}: data_offsets", f"{dtype} {shape!r:.60} does not take {end - begin} bytes")
    return Entry(dtype, tuple(shape), data_start + begin, end - begin)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
