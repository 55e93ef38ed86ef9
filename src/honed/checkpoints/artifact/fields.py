"""Values of a manifest, read as what they must be: a number that is one, a name that leads nowhere else.

Every reader takes the field's name for its error, an ArtifactError that shows the value. What the fields mean is in
`manifest.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from honed.errors import ArtifactError, plain, quoted

MAX_BYTES = (1 << 63) - 1
_MAX_NAME = 1024
_MAX_PART = 255
_MAX_RANK = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")


Field = str | tuple[str, ...]
"""A field, or one within: its object, the name of an entry, which is a value from outside, and a field of that."""


class Reader:
    """Reads fields of one file."""

    def __init__(self, path: object) -> None:
        self.path = path

    def wrong(self, field: Field, value: object, expected: str) -> ArtifactError:
        return ArtifactError(f"{self.path}: {_shown(field)}: is {quoted(value)}, must be {expected}")

    def get(self, holder: Mapping[str, Any], name: str) -> Any:
        if name not in holder:
            raise ArtifactError(f"{self.path}: {name}: is missing")
        return holder[name]

    def mapping(self, field: Field, value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(field, value, "an object")
        return value

    def text(self, field: Field, value: object) -> str:
        if not isinstance(value, str) or len(value) > _MAX_NAME or not _is_plain(value):
            raise self.wrong(field, value, f"a text of at most {_MAX_NAME} printable characters")
        return value

    def texts(self, field: Field, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.wrong(field, value, "a list of texts")
        return tuple(value)

    def boolean(self, field: Field, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(field, value, "true or false")
        return value

    def count(self, field: Field, value: object, least: int = 0) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_BYTES:
            raise self.wrong(field, value, f"a whole number from {least} to {MAX_BYTES}")
        return value

    def sha256(self, field: Field, value: object) -> str:
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.wrong(field, value, "a SHA-256 of 64 hexadecimal digits")
        return value

    def error(self, field: Field, value: object) -> float | None:
        """A relative error, None where there is none."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e300:
            raise self.wrong(field, value, "a number that is not negative, or null")
        return float(value)

    def shape(self, field: Field, value: object, *, matrix: bool) -> tuple[int, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= _MAX_RANK:
            raise self.wrong(field, value, "a list of sizes")
        shape = tuple([self.count(field, extent, 1) for extent in value])
        if math.prod(shape) > MAX_BYTES // 8:
            raise self.wrong(field, value, "sizes that memory can hold")
        if matrix and len(shape) != 2:
            raise self.wrong(field, value, "two sizes, as only a matrix is encoded")
        return shape

    def file_name(self, field: Field, value: str) -> str:
        """A path within the directory, as the system spells it."""
        parts = value.split("/")
        leads_out = ".." in parts or value.startswith("/")
        plainly = _is_plain(value) and "\\" not in value and PurePosixPath(value).as_posix() == value
        if leads_out or not plainly or value in ("", ".") or len(value) > _MAX_NAME:
            problem = "leads out of the directory" if leads_out else "is no name of a file in the directory"
            raise ArtifactError(f"{self.path}: {_shown(field)}: {quoted(value)} {problem}")
        if any(len(part.encode()) > _MAX_PART for part in parts):
            raise ArtifactError(f"{self.path}: {_shown(field)}: {quoted(value)} is longer than a file's name can be")
        return value


def _is_plain(text: str) -> bool:
    return text.isprintable() or plain(text) == text  # the former is quicker


def _shown(field: Field) -> str:
    if isinstance(field, str):
        return field
    holder, entry, *fields = field
    return ": ".join((holder, quoted(entry), *fields))
