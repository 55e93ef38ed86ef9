"""The header of a GGUF file, versions 2 and 3 (ggml's docs/gguf.md): metadata, tensor directory, where the data lies.

Every count, length, dimension and offset is checked against the bytes that are there before anything is taken for
it, in integers that do not wrap. The parser reads any buffer, so it can be fuzzed without files.
Not here: opening and mapping (`checkpoint.py`), the meaning of the metadata (`config.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from honed.checkpoints.gguf.metadata import LENGTH, Buffer, Metadata, Strings, Value
from honed.encodings.gguf_formats import FORMATS, OTHER_TYPES, BlockFormat
from honed.errors import FormatError, UnsupportedError

MAGIC = b"GGUF"
MAX_KEY = 1 << 16  # the specification's
MAX_NAME = 64  # the specification's
MAX_DIMENSIONS = 4  # the specification's
MAX_STRING = 1 << 24  # a chat template is the longest there is, and has kilobytes
MAX_ELEMENTS = 1 << 22  # of an array; the largest vocabularies and merge lists have hundreds of thousands
MAX_ALIGNMENT = 1 << 20
DEFAULT_ALIGNMENT = 32
SMALLEST_PAIR = 8 + 1 + 4 + 1
SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8

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


def parse_header(buffer: Buffer, path: Path) -> Header:
    """Errors: FormatError for what is malformed, UnsupportedError for versions and tensor types not read here."""
    cursor = _Cursor(buffer, path)
    if bytes(cursor.take(4, "magic")) != MAGIC:
        raise FormatError(path, "magic", "the file does not begin with GGUF")
    version = cursor.number("I", "version")
    if version not in (2, 3):
        big = " (big-endian)" if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, 2, 3) else ""
        raise UnsupportedError(f"{path}: version: GGUF version {version}{big} is not read, only little-endian 2 and 3")
    tensor_count = cursor.count("tensor_count", SMALLEST_TENSOR)
    pair_count = cursor.count("metadata_kv_count", SMALLEST_PAIR)
    metadata = Metadata(path, {}, buffer)
    for _ in range(pair_count):
        key = cursor.name("metadata key", MAX_KEY)
        if key in metadata.values:
            raise FormatError(path, key, "the key appears twice")
        metadata.values[key] = cursor.value(key)
    entries = [_read_entry(cursor) for _ in range(tensor_count)]
    alignment = _alignment(metadata)
    data_start = -(-cursor.position // alignment) * alignment
    return Header(version, metadata, _place(entries, data_start, alignment, len(buffer), path))


def _alignment(metadata: Metadata) -> int:
    alignment = metadata.integer("general.alignment")
    if alignment is None:
        return DEFAULT_ALIGNMENT
    if not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise FormatError(
            metadata.path, "general.alignment", f"is {alignment}, must be a power of two from 8 to {MAX_ALIGNMENT}"
        )
    return alignment


def _read_entry(cursor: _Cursor) -> TensorEntry:
    """An entry whose `start` is still the offset within the data."""
    name = cursor.name("tensor name", MAX_NAME)
    dimensions = cursor.number("I", f"{name}: n_dimensions")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise FormatError(cursor.path, f"{name}: n_dimensions", f"is {dimensions}, must be 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.number("Q", f"{name}: dimensions") for _ in range(dimensions))[::-1]
    if 0 in shape:
        raise FormatError(cursor.path, f"{name}: dimensions", f"{shape} hold no values")
    type_id = cursor.number("I", f"{name}: type")
    block_format = FORMATS.get(type_id)
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
    return TensorEntry(name, block_format, shape, cursor.number("Q", f"{name}: offset"))


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
        placed[entry.name] = TensorEntry(entry.name, entry.format, entry.shape, start)
    ordered = sorted(placed.values(), key=lambda entry: entry.start)
    for before, after in pairwise(ordered):
        if before.start + before.nbytes > after.start:
            raise FormatError(path, f"{after.name}: offset", f"overlaps {before.name}")
    return placed


class _Cursor:
    """Reads forward through the header; running out of bytes is an error that names the field."""

    def __init__(self, buffer: Buffer, path: Path) -> None:
        self.buffer = buffer
        self.path = path
        self.position = 0

    def take(self, length: int, field: str) -> Buffer:
        if length > len(self.buffer) - self.position:
            raise FormatError(
                self.path, field, f"needs {length} bytes at byte {self.position}, the file has {len(self.buffer)}"
            )
        part = self.buffer[self.position : self.position + length]
        self.position += length
        return part

    def number(self, code: str, field: str) -> int:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code), field))
        return int(value)

    def count(self, field: str, smallest: int) -> int:
        """A 64-bit count of records of at least `smallest` bytes, refused if the file cannot hold that many."""
        value = self.number("Q", field)
        if value > (len(self.buffer) - self.position) // smallest:
            raise FormatError(self.path, field, f"is {value}, more than a file of {len(self.buffer)} bytes can hold")
        return value

    def text(self, field: str, limit: int) -> str:
        length = self.number("Q", f"{field}: length")
        if length > limit:
            raise FormatError(self.path, f"{field}: length", f"is {length}, must be at most {limit}")
        try:
            return str(self.take(length, field), "utf-8")
        except UnicodeDecodeError:
            raise FormatError(self.path, field, f"is not UTF-8, before byte {self.position}") from None

    def name(self, field: str, limit: int) -> str:
        """A text that names something, and that error messages can show as it is."""
        text = self.text(field, limit)
        if not text or not text.isprintable():
            raise FormatError(self.path, field, f"{text!r:.100} is empty or not printable, before byte {self.position}")
        return text

    def value(self, key: str) -> Value:
        kind = self.number("I", f"{key}: type")
        if kind == _STRING:
            return self.text(key, MAX_STRING)
        if kind == _BOOL:
            return self._flag(key)
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise FormatError(self.path, f"{key}: type", f"is {kind}, which no version defines")
        (value,) = struct.unpack("<" + _SCALARS[kind], self.take(struct.calcsize("<" + _SCALARS[kind]), key))
        return float(value) if isinstance(value, float) else int(value)

    def _flag(self, key: str) -> bool:
        value = self.number("B", key)
        if value > 1:
            raise FormatError(self.path, key, f"is {value}, a bool must be 0 or 1")
        return value == 1

    def _array(self, key: str) -> Value:
        kind = self.number("I", f"{key}: element type")
        if kind == _ARRAY:
            raise UnsupportedError(f"{self.path}: {key}: arrays of arrays are not read")
        if kind not in _SCALARS and kind not in (_BOOL, _STRING):
            raise FormatError(self.path, f"{key}: element type", f"is {kind}, which no version defines")
        code = _SCALARS.get(kind, "B")
        width = 8 if kind == _STRING else struct.calcsize("<" + code)
        count = self.count(f"{key}: length", width)
        if count > MAX_ELEMENTS:
            raise FormatError(self.path, f"{key}: length", f"is {count}, must be at most {MAX_ELEMENTS}")
        if kind == _STRING:
            return self._strings(key, count)
        elements = np.frombuffer(self.take(count * width, key), dtype=np.dtype(code).newbyteorder("<"))
        return elements.astype(np.bool_) if kind == _BOOL else elements

    def _strings(self, key: str, count: int) -> Strings:
        """Steps over the strings. A plain loop over local names: a vocabulary has a hundred thousand of them."""
        start = position = self.position
        end = len(self.buffer)
        unpack = LENGTH.unpack_from
        for index in range(count):
            if position <= end - 8:
                position += 8 + unpack(self.buffer, position)[0]
                if position <= end:
                    continue
            raise FormatError(self.path, key, f"string {index} of {count} ends after the file's {end} bytes")
        self.position = position
        return Strings(count, start)
