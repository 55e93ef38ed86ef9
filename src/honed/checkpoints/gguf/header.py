"""The header of a GGUF file, versions 2 and 3 (ggml's docs/gguf.md): metadata, tensor directory, where the data lies.

Every count, length, dimension and offset is checked against the bytes that are there before anything is taken for
it, in integers that do not wrap, and against bounds far over those of published models, so that a small file takes
little memory and time. The parser reads any buffer, so it can be fuzzed without files.
Not here: stepping through the bytes (`cursor.py`), mapping (`parts.py`), the meaning of the metadata (`config.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from honed.checkpoints.gguf.cursor import Bytes, Cursor, MemoryBytes
from honed.checkpoints.gguf.metadata import Metadata, Numbers, Strings, Text, Value
from honed.encodings.gguf_formats import FORMATS, OTHER_TYPES, BlockFormat
from honed.errors import FormatError, UnsupportedError

MAGIC = b"GGUF"
MAX_KEY = 1 << 10  # the specification's is 2^16; the longest in use has 60
MAX_NAME = 64  # the specification's
MAX_DIMENSIONS = 4  # the specification's
MAX_STRING = 1 << 20  # a chat template is the longest there is, and has kilobytes
MAX_ELEMENTS = 1 << 20  # of an array; the largest vocabularies have a quarter of that, their merges half of it
MAX_TEXTS = 1 << 21  # of all arrays together
MAX_PAIRS = 1 << 14  # published files have under a hundred
MAX_TENSORS = 1 << 16  # a model of a thousand layers has 12,000 in the architectures that are read here
MAX_ALIGNMENT = 1 << 20
DEFAULT_ALIGNMENT = 32
SMALLEST_PAIR = 8 + 1 + 4 + 1
SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8

_SHORT_TEXT = 1 << 10
_SCALARS: dict[int, str] = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: `shape` outermost first (the file counts the other way), `start` from the beginning of the file."""

    name: str
    format: BlockFormat
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        blocks = 1
        for extent in self.shape:
            blocks *= extent
        return blocks // self.format.values * self.format.nbytes


@dataclass(frozen=True)
class Header:
    version: int
    metadata: Metadata
    tensors: dict[str, TensorEntry]
    """In the order of the file."""


Formats = Callable[[int], BlockFormat | None]
"""What a type number stands for; None for one that is refused."""


def parse_header(source: Bytes | memoryview, path: Path, formats: Formats = FORMATS.get) -> Header:
    """Errors: FormatError for what is malformed, UnsupportedError for versions and tensor types not read here."""
    if isinstance(source, memoryview):
        source = MemoryBytes(source)
    cursor = Cursor(source, path)
    if cursor.take(4, "magic") != MAGIC:
        raise FormatError(path, "magic", "the file does not begin with GGUF")
    version = cursor.integer("I", "version")
    if version not in (2, 3):
        big = " (big-endian)" if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, 2, 3) else ""
        raise UnsupportedError(f"{path}: version: GGUF version {version}{big} is not read, only little-endian 2 and 3")
    tensor_count = cursor.count("tensor_count", SMALLEST_TENSOR, MAX_TENSORS)
    pair_count = cursor.count("metadata_kv_count", SMALLEST_PAIR, MAX_PAIRS)
    metadata = Metadata(path, {}, source)
    texts = 0
    for _ in range(pair_count):
        key = cursor.name("metadata key", MAX_KEY)
        if key in metadata.values:
            raise FormatError(path, key, "the key appears twice")
        value = metadata.values[key] = _read_value(cursor, key, MAX_TEXTS - texts)
        texts += value.count if isinstance(value, Strings) else 0
    entries = [_read_entry(cursor, formats) for _ in range(tensor_count)]
    alignment = _alignment(metadata)
    data_start = -(-cursor.position // alignment) * alignment
    return Header(version, metadata, _place(entries, data_start, alignment, source.size, path))


def _read_value(cursor: Cursor, key: str, texts_left: int) -> Value:
    kind = cursor.integer("I", f"{key}: type")
    if kind == _STRING:
        text = cursor.text(key, MAX_STRING)
        length = len(text.encode())
        return text if length <= _SHORT_TEXT else Text(length, cursor.position - length)
    if kind == _BOOL:
        return _flag(cursor, key)
    if kind == _ARRAY:
        return _array(cursor, key, texts_left)
    if kind not in _SCALARS:
        raise FormatError(cursor.path, f"{key}: type", f"is {kind}, which no version defines")
    return cursor.number(_SCALARS[kind], key)


def _flag(cursor: Cursor, key: str) -> bool:
    value = cursor.integer("B", key)
    if value > 1:
        raise FormatError(cursor.path, key, f"is {value}, a bool must be 0 or 1")
    return value == 1


def _array(cursor: Cursor, key: str, texts_left: int) -> Value:
    kind = cursor.integer("I", f"{key}: element type")
    if kind == _ARRAY:
        raise UnsupportedError(f"{cursor.path}: {key}: arrays of arrays are not read")
    if kind == _STRING:
        count = cursor.count(f"{key}: length", 8, min(MAX_ELEMENTS, texts_left))
        start = cursor.position
        cursor.skip_texts(count, key)
        return Strings(count, start)
    if kind not in _SCALARS and kind != _BOOL:
        raise FormatError(cursor.path, f"{key}: element type", f"is {kind}, which no version defines")
    dtype = np.dtype(np.bool_) if kind == _BOOL else np.dtype(_SCALARS[kind]).newbyteorder("<")
    count = cursor.count(f"{key}: length", dtype.itemsize, MAX_ELEMENTS)
    start = cursor.position
    cursor.skip(count * dtype.itemsize, key)
    return Numbers(count, start, dtype)


def _alignment(metadata: Metadata) -> int:
    alignment = metadata.integer("general.alignment")
    if alignment is None:
        return DEFAULT_ALIGNMENT
    if not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise FormatError(
            metadata.path, "general.alignment", f"is {alignment}, must be a power of two from 8 to {MAX_ALIGNMENT}"
        )
    return alignment


def _read_entry(cursor: Cursor, formats: Formats) -> TensorEntry:
    """An entry whose `start` is still the offset within the data."""
    name = cursor.name("tensor name", MAX_NAME)
    dimensions = cursor.integer("I", f"{name}: n_dimensions")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise FormatError(cursor.path, f"{name}: n_dimensions", f"is {dimensions}, must be 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.integer("Q", f"{name}: dimensions") for _ in range(dimensions))[::-1]
    if 0 in shape:
        raise FormatError(cursor.path, f"{name}: dimensions", f"{shape} hold no values")
    type_id = cursor.integer("I", f"{name}: type")
    block_format = formats(type_id)
    if block_format is None:
        known = ", ".join(entry.name for entry in FORMATS.values())
        shown = OTHER_TYPES.get(type_id, f"number {type_id}")
        raise UnsupportedError(f"{cursor.path}: tensor {name}: type {shown} is not supported; supported are {known}")
    if shape[-1] % block_format.values:
        raise FormatError(
            cursor.path,
            f"{name}: dimensions",
            f"rows of {shape[-1]} are not whole blocks of {block_format.values}, which {block_format.name} has",
        )
    return TensorEntry(name, block_format, shape, cursor.integer("Q", f"{name}: offset"))


def _place(
    entries: list[TensorEntry], data_start: int, alignment: int, size: int, path: Path
) -> dict[str, TensorEntry]:
    """Offsets made absolute, and checked: aligned, inside the file, no two tensors on the same bytes."""
    placed: dict[str, TensorEntry] = {}
    for entry in entries:
        if entry.name in placed:
            raise FormatError(path, entry.name, "the tensor appears twice")
        if entry.start % alignment:
            raise FormatError(path, f"{entry.name}: offset", f"{entry.start} is not a multiple of {alignment}")
        start = data_start + entry.start
        if start + entry.nbytes > size:
            raise FormatError(
                path, f"{entry.name}: offset", f"its {entry.nbytes} bytes from byte {start} end after the file's {size}"
            )
        placed[entry.name] = replace(entry, start=start)
    ordered = sorted(placed.values(), key=lambda entry: entry.start)
    for before, after in pairwise(ordered):
        if before.start + before.nbytes > after.start:
            raise FormatError(path, f"{after.name}: offset", f"overlaps {before.name}")
    return placed
