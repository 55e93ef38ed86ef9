"""The bytes of a GGUF file, and a cursor over them: the one place where lengths and offsets of a header are added up.

A header is copied from its file piece by piece, not read through a map, so that a file that is cut short meanwhile is
an error and no fault of the process. Nothing is taken that the file does not hold, and no more than `MAX_HEADER`
of it. Not here: what the bytes mean (`header.py`), and the tensors behind them, which are mapped (`checkpoint.py`).
"""

from __future__ import annotations

import os
import struct
import weakref
from pathlib import Path
from typing import Protocol

from honed.checkpoints.mapping import map_descriptor
from honed.errors import FormatError, SourceError, quoted
from honed.regular_files import open_descriptor

MAX_HEADER = 1 << 26
"""Bytes; the largest vocabularies with their merges take under 20 MB."""

_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 18
_NUMBERS = {code: struct.Struct("<" + code) for code in "BbHhIiQqfd"}


class Bytes(Protocol):
    """Where a cursor reads: `size` bytes, any part of which can be asked for."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, length: int) -> bytes | memoryview:
        """`start` and `length` lie within the size. Errors: FormatError where the bytes are there no longer."""


class MemoryBytes:
    """Bytes that lie in memory."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self.size = len(buffer)

    def read(self, start: int, length: int) -> memoryview:
        return self._buffer[start : start + length]


class FileBytes:
    """Bytes of a file, which stays open as long as this lives. Its size is that at the beginning.

    Errors: SourceError if it cannot be opened or is no regular file, FormatError if it is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_descriptor(path)
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self.size = os.fstat(self._descriptor).st_size
        if self.size == 0:
            raise FormatError(path, "size", "the file is empty")

    def read(self, start: int, length: int) -> bytes:
        try:
            found = os.pread(self._descriptor, length, start)
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror or error}") from None
        if len(found) != length:
            raise FormatError(self._path, "size", f"the file was cut short while it was read, at byte {start}")
        return found

    def map(self) -> memoryview:
        """All of the file, mapped."""
        return map_descriptor(self._descriptor, self._path)


class Cursor:
    """Reads forward from `position`; running out of bytes is an error that names the field."""

    def __init__(self, source: Bytes, path: Path, position: int = 0) -> None:
        self.path = path
        self.position = position
        self._source = source
        self._end = min(source.size, MAX_HEADER)
        self._piece: bytes | memoryview = b""
        self._piece_start = position

    def _reach(self, length: int, field: str) -> int:
        """Sees to it that the next `length` bytes are in the piece that is held; where in it they begin."""
        if length > self._end - self.position:
            raise self._short(field, f"needs {length} bytes at byte {self.position}")
        begin = self.position - self._piece_start
        if begin + length > len(self._piece):
            wanted = min(max(length, _PIECE), self._end - self.position)
            self._piece, self._piece_start, begin = self._source.read(self.position, wanted), self.position, 0
        return begin

    def _short(self, field: str, problem: str) -> FormatError:
        size = self._source.size
        if size > self._end:
            return FormatError(self.path, field, f"{problem}, and a header may have {MAX_HEADER}")
        return FormatError(self.path, field, f"{problem}, the file has {size}")

    def take(self, length: int, field: str) -> bytes:
        begin = self._reach(length, field)
        self.position += length
        return bytes(self._piece[begin : begin + length])

    def skip(self, length: int, field: str) -> None:
        """Steps over bytes that are read later, if ever."""
        if length > self._end - self.position:
            raise self._short(field, f"needs {length} bytes at byte {self.position}")
        self.position += length
        if self.position > self._piece_start + len(self._piece):
            self._piece, self._piece_start = b"", self.position

    def number(self, code: str, field: str) -> int | float:
        """One number of a `struct` code."""
        form = _NUMBERS[code]
        begin = self._reach(form.size, field)
        self.position += form.size
        value: int | float = form.unpack_from(self._piece, begin)[0]
        return value

    def integer(self, code: str, field: str) -> int:
        return int(self.number(code, field))

    def count(self, field: str, smallest: int, most: int) -> int:
        """A 64-bit count of records of at least `smallest` bytes, refused over `most` and over what is left."""
        value = self.integer("Q", field)
        if value > (self._source.size - self.position) // smallest:
            raise FormatError(self.path, field, f"is {value}, more than a file of {self._source.size} bytes can hold")
        if value > most:
            raise FormatError(self.path, field, f"is {value}, must be at most {most}")
        return value

    def text(self, field: str, most: int) -> str:
        length = self.integer("Q", f"{field}: length")
        if length > most:
            raise FormatError(self.path, f"{field}: length", f"is {length}, must be at most {most}")
        try:
            return str(self.take(length, field), "utf-8")
        except UnicodeDecodeError:
            raise FormatError(self.path, field, f"is not UTF-8, before byte {self.position}") from None

    def name(self, field: str, most: int) -> str:
        """A text that names something, and that error messages can show as it is."""
        text = self.text(field, most)
        if not text or not text.isprintable():
            raise FormatError(
                self.path, field, f"{quoted(text)} is empty or not printable, before byte {self.position}"
            )
        return text

    def skip_texts(self, count: int, field: str) -> None:
        """Steps over texts. A plain loop over local names: a vocabulary has a hundred thousand of them."""
        position, end, unpack = self.position, self._end, _LENGTH.unpack_from
        piece, start = self._piece, self._piece_start
        last = start + len(piece) - 8
        for index in range(count):
            if position > last or position < start:
                if position > end - 8:
                    raise self._short(field, f"string {index} of {count} begins at byte {position}")
                piece, start = self._source.read(position, min(max(_PIECE, 8), end - position)), position
                last = start + len(piece) - 8
            position += 8 + unpack(piece, position - start)[0]
            if position > end:
                raise self._short(field, f"string {index} of {count} ends at byte {position}")
        self.position, self._piece, self._piece_start = position, piece, start
        if position > start + len(piece):
            self._piece, self._piece_start = b"", position

    def texts(self, count: int, field: str) -> list[str]:
        found: list[str] = []
        try:
            for _ in range(count):
                begin = self._reach(8, field)
                length = _LENGTH.unpack_from(self._piece, begin)[0]
                self.position += 8
                begin = self._reach(length, field)
                self.position += length
                found.append(str(self._piece[begin : begin + length], "utf-8"))
        except UnicodeDecodeError:
            raise FormatError(self.path, field, f"string {len(found)} is not UTF-8") from None
        return found
