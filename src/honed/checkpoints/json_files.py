"""JSON objects from files that nobody vouches for: size, nesting and duplicate names are checked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from honed.errors import FormatError, SourceError

MAX_BYTES = 64 << 20
"""The largest known are tokenizer files and shard indexes, of some ten megabytes."""


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A whole small file. SourceError if it cannot be read, FormatError if it is over `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > limit:
        raise FormatError(path, "size", f"is over {limit} bytes")
    return data


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """A whole small file as UTF-8."""
    try:
        return str(read_bytes(path, limit), "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(path, "encoding", f"is not UTF-8 at byte {error.start}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds."""
    return parse_object(read_text(path), path, "JSON")


def parse_object(text: str, path: Path, field: str) -> dict[str, Any]:
    """A JSON object; FormatError for anything else, for a name given twice and for what overflows the parser."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise FormatError(path, field, f"the name {twice!r:.80} appears twice")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise FormatError(path, field, "is nested too deeply") from None
    except ValueError as error:
        raise FormatError(path, field, f"is not JSON: {error!s:.200}") from None
    if not isinstance(value, dict):
        raise FormatError(path, field, f"must be an object, not {type(value).__name__}")
    return value
