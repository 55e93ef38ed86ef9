"""JSON objects from files that nobody vouches for, in bounded time and memory.

Before anything is parsed, a scan of the bytes bounds how many values and how deep a nesting the parser could make of
them. Refused besides: numbers that no arithmetic takes, halves of surrogate pairs, and, where a file is written by
programs alone, names given twice. Not here: headers of safetensors, which are read entry by entry (`safetensors/
header.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate, count
from operator import sub
from pathlib import Path
from typing import Any, Literal

from honed.errors import FormatError, quoted
from honed.notes import note
from honed.regular_files import read_regular, refuse_pointer

MAX_BYTES = 10 << 20
"""Of a file of settings or an index; the index of the largest published models has nine megabytes."""
CONFIG_BYTES = 4 << 20
"""Of config.json and the like."""
TOKENIZER_BYTES = 64 << 20
"""Of tokenizer.json: the largest published ones have 33 MB."""
MAX_VALUES = 250_000
"""That a file of settings may hold: more than an index of 100,000 tensors has."""
MAX_DEPTH = 64
MAX_DIGITS = 300
"""Of an integer: the largest that a float holds has 309."""

Duplicates = Literal["refuse", "note"]

_NOT_STRUCTURE = bytes(code for code in range(256) if code not in b'"[]{}')
_TWICE_OPENING = bytes(2 * (code in b"[{") for code in range(256))
# Escapes one after the other: a pair of surrogates, a half of one, anything else.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPES = re.compile(rf"\\(?:{_PAIR}|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A whole small file. SourceError if it cannot be read or is a pointer, FormatError if it is over `limit` bytes."""
    data = read_regular(path, limit)
    refuse_pointer(data, path)
    return data


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """A whole small file as UTF-8, without the mark that some editors begin it with."""
    return decode_text(read_bytes(path, limit), path)


def decode_text(data: bytes, path: Path) -> str:
    """UTF-8, without the mark that some editors begin it with. Errors: FormatError."""
    try:
        return str(data.removeprefix(b"\xef\xbb\xbf"), "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(path, "encoding", f"is not UTF-8 at byte {error.start}") from None


def read_object(
    path: Path, limit: int = MAX_BYTES, *, values: int = MAX_VALUES, duplicates: Duplicates = "refuse"
) -> dict[str, Any]:
    """The object that a JSON file holds. Errors: as `read_text` and `parse_object`."""
    return parse_object(read_text(path, limit), path, "JSON", values=values, duplicates=duplicates)


def read_list(path: Path, limit: int = MAX_BYTES, *, values: int = MAX_VALUES) -> list[Any]:
    """The list that a JSON file of settings holds. Errors: as `read_text` and `parse_object`."""
    value = _parse(read_text(path, limit), path, "JSON", values=values, duplicates="note")
    if not isinstance(value, list):
        raise FormatError(path, "JSON", f"must be a list, not {type(value).__name__}")
    return value


def parse_object(
    text: str, path: Path, field: str, *, values: int = MAX_VALUES, duplicates: Duplicates = "refuse"
) -> dict[str, Any]:
    """A JSON object of at most `values` values.

    Of a name given twice the last counts for every parser there is; `duplicates` says whether that is noted, in files
    that people edit, or refused. Errors: FormatError.
    """
    value = _parse(text, path, field, values=values, duplicates=duplicates)
    if not isinstance(value, dict):
        raise FormatError(path, field, f"must be an object, not {type(value).__name__}")
    return value


def _parse(text: str, path: Path, field: str, *, values: int, duplicates: Duplicates) -> Any:
    _check_size(text, path, field, values)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = _twice(pairs)
            if duplicates == "refuse":
                raise FormatError(path, field, f"the name {quoted(twice)} appears twice")
            note(f"{path}: {field}: the name {quoted(twice)} appears twice; the last one counts")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_int=_integer(path, field))
    except RecursionError:
        raise FormatError(path, field, "is nested too deeply") from None
    except ValueError as error:
        raise FormatError(path, field, f"is not JSON: {error!s:.200}") from None
    _check_surrogates(text, path, field)
    return value


def _check_size(text: str, path: Path, field: str, values: int) -> None:
    """An upper bound of what the parser would make: strings are counted along, so it errs on the safe side."""
    containers = text.count("[") + text.count("{")
    if containers + text.count(",") >= values:
        raise FormatError(path, field, f"holds too many values, must be at most {values}")
    if containers > MAX_DEPTH:
        # Brackets outside of strings: the pieces between quotes, every second one, once no quote is escaped.
        data = text.encode("utf-8", "surrogatepass").replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = data.translate(None, _NOT_STRUCTURE).replace(b'""', b"").split(b'"')
        brackets = b"".join(pieces[::2])
        # The depth is twice the openings so far, less the brackets so far.
        if max(map(sub, accumulate(brackets.translate(_TWICE_OPENING)), count(1)), default=0) > MAX_DEPTH:
            raise FormatError(path, field, f"is nested too deeply, must be at most {MAX_DEPTH} levels")


def _integer(path: Path, field: str) -> Callable[[str], int]:
    def parse(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise FormatError(path, field, f"holds a number of {len(digits)} digits, must be at most {MAX_DIGITS}")
        return int(digits)

    return parse


def _check_surrogates(text: str, path: Path, field: str) -> None:
    if _SURROGATE.search(text) is None:
        return
    for escape in _ESCAPES.finditer(text):
        if escape[1] is not None:
            raise FormatError(path, field, f"holds \\{escape[1]}, half of a surrogate pair and no character")


def _twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return ""
