"""Values of a GGUF file's metadata and typed access to them.

Long arrays (vocabularies) stay in the file until asked for. Not here: the bytes of the header (`header.py`) and
what the keys mean (`config.py`, `tokenizer.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honed.errors import FormatError

Buffer = memoryview
LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Strings:
    """An array of strings whose lengths have been checked against the file: `count` of them from byte `start`."""

    count: int
    start: int


Value = int | float | bool | str | Strings | NDArray[np.generic]


@dataclass(frozen=True)
class Metadata:
    """The key-value pairs of one file. Accessors return None for a missing key and refuse a wrong type."""

    path: Path
    values: dict[str, Value] = field(default_factory=dict)
    buffer: Buffer = field(default_factory=lambda: memoryview(b""))

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
        found: list[str] = []
        position = value.start
        try:
            for _ in range(value.count):
                (length,) = LENGTH.unpack_from(self.buffer, position)
                position += 8
                found.append(str(self.buffer[position : position + length], "utf-8"))
                position += length
        except UnicodeDecodeError:
            raise FormatError(self.path, key, f"string {len(found)} is not UTF-8") from None
        return found

    def integers(self, key: str) -> NDArray[np.int64] | None:
        array = self._array(key, "iu", "an array of integers")
        return None if array is None else array.astype(np.int64)

    def numbers(self, key: str) -> NDArray[np.float64] | None:
        array = self._array(key, "iuf", "an array of numbers")
        return None if array is None else array.astype(np.float64)

    def length(self, key: str) -> int | None:
        """How many elements the array has, without reading them."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, Strings):
            return value.count
        if isinstance(value, np.ndarray):
            return len(value)
        raise self._wrong(key, "an array")

    def _array(self, key: str, kinds: str, expected: str) -> NDArray[np.generic] | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
            raise self._wrong(key, expected)
        return value

    def _wrong(self, key: str, expected: str) -> FormatError:
        value = self.values[key]
        if isinstance(value, Strings):
            shown = "an array of strings"
        elif isinstance(value, np.ndarray):
            shown = f"an array of {value.dtype}"
        else:
            shown = f"{type(value).__name__} {value!r:.40}"
        return FormatError(self.path, key, f"is {shown}, must be {expected}")
