"""Values of a GGUF file's metadata and typed access to them.

Arrays (vocabularies) and long texts stay in the file until they are asked for. Not here: the bytes of the header
(`header.py`) and what the keys mean (`config.py`, `tokenizer.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.checkpoints.gguf.cursor import Bytes, Cursor, MemoryBytes
from honed.errors import FormatError, quoted


@dataclass(frozen=True)
class Text:
    """A long string, which has been decoded once: `length` bytes from byte `start`."""

    length: int
    start: int


@dataclass(frozen=True)
class Strings:
    """An array of strings whose lengths have been checked against the file: `count` of them from byte `start`."""

    count: int
    start: int


@dataclass(frozen=True)
class Numbers:
    """An array of numbers or bools that lies in the file: `count` of them from byte `start`, little-endian."""

    count: int
    start: int
    dtype: np.dtype[np.generic]


Value = int | float | bool | str | Text | Strings | Numbers


@dataclass(frozen=True)
class Metadata:
    """The key-value pairs of one file. Accessors return None for a missing key and refuse a wrong type."""

    path: Path
    values: dict[str, Value] = field(default_factory=dict)
    source: Bytes = field(default_factory=lambda: MemoryBytes(memoryview(b"")))

    def integer(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self._wrong(key, "an integer")
        return value

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number")
        return float(value)

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "a bool")
        return value

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if isinstance(value, Text):
            return str(self._cursor(value.start).take(value.length, key), "utf-8", "replace")
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def texts(self, key: str) -> list[str] | None:
        """The strings of an array, read from the file now."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Strings):
            raise self._wrong(key, "an array of strings")
        return self._cursor(value.start).texts(value.count, key)

    def integers(self, key: str) -> NDArray[np.int64] | None:
        array = self._array(key, "iu", "an array of integers")
        return None if array is None else array.astype(np.int64)

    def numbers(self, key: str) -> NDArray[np.float64] | None:
        array = self._array(key, "iuf", "an array of numbers")
        if array is None:
            return None
        with np.errstate(invalid="ignore"):  # a NaN that signals stays a NaN
            return array.astype(np.float64)

    def flags(self, key: str) -> NDArray[np.bool_] | None:
        array = self._array(key, "b", "an array of bools")
        return None if array is None else array.astype(np.bool_)

    def is_array(self, key: str) -> bool:
        return isinstance(self.values.get(key), Strings | Numbers)

    def length(self, key: str) -> int | None:
        """How many elements the array has, without reading them."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, Strings | Numbers):
            return value.count
        raise self._wrong(key, "an array")

    def _array(self, key: str, kinds: str, expected: str) -> NDArray[np.generic] | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Numbers) or value.dtype.kind not in kinds:
            raise self._wrong(key, expected)
        stored = self._cursor(value.start).take(value.count * value.dtype.itemsize, key)
        return np.frombuffer(stored, np.uint8).astype(np.bool_) if kinds == "b" else np.frombuffer(stored, value.dtype)

    def _cursor(self, start: int) -> Cursor:
        return Cursor(self.source, self.path, start)

    def _wrong(self, key: str, expected: str) -> FormatError:
        value = self.values[key]
        if isinstance(value, Strings):
            shown = "an array of strings"
        elif isinstance(value, Numbers):
            shown = f"an array of {value.dtype.name}"
        elif isinstance(value, Text):
            shown = f"a string of {value.length} bytes"
        else:
            shown = f"{type(value).__name__} {quoted(value, 40)}"
        return FormatError(self.path, key, f"is {shown}, must be {expected}")
