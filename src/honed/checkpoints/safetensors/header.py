"""The header of a safetensors file, read entry by entry (https://huggingface.co/docs/safetensors).

Each entry is parsed and checked by itself and kept as a few numbers, so what a header costs is bounded by its length
and the number of its tensors, whatever else stands in it. The file must be covered by its tensors exactly: no gap, no
overlap, nothing after the last.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honed.errors import FormatError, quoted
from honed.records import dataclass
from honed.regular_files import refuse_pointer

MAX_HEADER = 10 << 20
"""Bytes. The index of the largest published models, which lists all of their tensors, has nine megabytes."""
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 32
_MAX_ENTRY = 2048
"""Characters of one entry: 34 numbers of twenty digits, and names."""
BITS = dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
BITS |= dict.fromkeys(("U16", "I16", "F16", "BF16"), 16) | dict.fromkeys(("U32", "I32", "F32"), 32)
BITS |= dict.fromkeys(("U64", "I64", "F64", "C64"), 64) | {"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4}
_FIELDS = {"dtype", "shape", "data_offsets"}
_STRINGS = json.JSONDecoder()
_FIELDS_OF = json.JSONDecoder(object_pairs_hook=list)
_METADATA = "__metadata__"
_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r'"([^"\\\x00-\x1f]*+)"[ \t\r\n]*+:[ \t\r\n]*+')
"""That needs no parser, as nothing in it is escaped."""
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_NEXT = re.compile(r"[ \t\r\n]*([,}])[ \t\r\n]*")


@dataclass(frozen=True)
class Entry:
    """One tensor: `start` from the beginning of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


def parse_header(buffer: memoryview, path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors by name in the order of their bytes, and the free metadata. Errors: FormatError, SourceError."""
    if len(buffer) < 8:
        raise FormatError(path, "header length", f"the file has {len(buffer)} bytes, fewer than the 8 of the length")
    refuse_pointer(buffer, path)
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
    return _Parser(text, path, 8 + length).parse(len(buffer))


class _Parser:
    def __init__(self, text: str, path: Path, data_start: int) -> None:
        self._text, self._path, self._data_start = text, path, data_start
        self._entries: dict[str, Entry] = {}
        self._metadata: dict[str, str] | None = None

    def parse(self, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
        for name, start in self._members(0):
            self._end = self._read_metadata(start) if name == _METADATA else self._read_entry(name, start)
        if _SPACE.fullmatch(self._text, self._end) is None:
            raise self._malformed(self._end, "more follows the object")
        return _in_order(self._entries, self._data_start, size, self._path), self._metadata or {}

    def _members(self, start: int) -> Iterator[tuple[str, int]]:
        """The names of an object that begins at `start`, each with where its value begins.

        Where that ends must be put into `_end` before the next; in the end it is where the object ends.
        """
        text = self._text
        at = _end_of(_SPACE, text, start + 1)
        if text[at : at + 1] == "}":
            self._end = at + 1
            return
        while True:
            simple = _NAME.match(text, at)
            if simple is not None:
                yield simple[1], simple.end()
            else:
                name, at = self._string(at, "a name")
                colon = _COLON.match(text, at)
                if colon is None:
                    raise self._malformed(at, "expected a colon")
                yield name, colon.end()
            following = _NEXT.match(text, self._end)
            if following is None:
                raise self._malformed(self._end, "expected a comma or }")
            at = following.end()
            if following[1] == "}":
                self._end = at
                return

    def _string(self, at: int, what: str) -> tuple[str, int]:
        if self._text[at : at + 1] != '"':
            raise self._malformed(at, f"expected {what} in quotes")
        try:
            text, end = _STRINGS.raw_decode(self._text, at)
        except ValueError as error:
            raise FormatError(self._path, "header", f"is not JSON: {error!s:.200}") from None
        return str(text), end

    def _read_metadata(self, start: int) -> int:
        if self._metadata is not None:
            raise FormatError(self._path, "header", f"the name {_METADATA!r} appears twice")
        if self._text[start : start + 1] != "{":
            raise FormatError(self._path, _METADATA, "must be an object of strings")
        found: dict[str, str] = {}
        for name, at in self._members(start):
            if self._text[at : at + 1] != '"' or len(found) == MAX_TENSORS:
                raise FormatError(self._path, _METADATA, "must be an object of strings")
            found[name], self._end = self._string(at, "a text")
        self._metadata = found
        return self._end

    def _read_entry(self, name: str, start: int) -> int:
        path = self._path
        if name in self._entries:
            raise FormatError(path, "header", f"the name {quoted(name)} appears twice")
        if len(self._entries) == MAX_TENSORS:
            raise FormatError(path, "header", f"holds more than {MAX_TENSORS} tensors")
        if not name.isprintable():
            raise FormatError(path, "tensor name", f"{quoted(name)} is not printable")
        end = self._text.find("}", start, start + _MAX_ENTRY) + 1
        if not end or self._text[start : start + 1] != "{":
            raise FormatError(path, quoted(name), "must be an object of dtype, shape and data_offsets")
        try:
            fields, parsed = _FIELDS_OF.raw_decode(self._text[start:end])
        except (ValueError, RecursionError) as error:
            raise FormatError(path, "header", f"is not JSON: {error!s:.200}") from None
        if parsed != end - start:
            raise self._malformed(start + parsed, "expected }")
        self._entries[name] = _entry(name, fields, self._data_start, path)
        return end

    def _malformed(self, at: int, problem: str) -> FormatError:
        return FormatError(self._path, "header", f"is not JSON: {problem} at character {at}")


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return start if found is None else found.end()


def _entry(name: str, pairs: list[tuple[str, Any]], data_start: int, path: Path) -> Entry:
    fields = dict(pairs)
    if len(pairs) != len(_FIELDS) or fields.keys() != _FIELDS:
        raise FormatError(path, quoted(name), "must be an object of dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise FormatError(path, f"{name}: dtype", f"{quoted(dtype)} is unknown")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise FormatError(path, f"{name}: shape", f"{quoted(shape)} must be a list of at most {MAX_DIMENSIONS} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise FormatError(path, f"{name}: data_offsets", f"{quoted(offsets)} must be a begin and an end")
    begin, end = offsets
    if end < begin or math.prod(shape) * BITS[dtype] != 8 * (end - begin):
        raise FormatError(path, f"{name}: data_offsets", f"{dtype} {quoted(shape)} does not take {end - begin} bytes")
    return Entry(dtype, tuple(shape), data_start + begin, end - begin)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _in_order(entries: dict[str, Entry], data_start: int, size: int, path: Path) -> dict[str, Entry]:
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
