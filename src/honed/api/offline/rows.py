"""The rows of an input file, one after the other: JSON lines, CSV, Parquet, or a text a line.

A row that is malformed is a row with an error, so that none is lost. What a row holds never has to fit memory together
with the others. Not here: what is made of a row (`work.py`), and writing (`results.py`).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.errors import HonedError, ParameterError, SourceError, quoted
from honed.records import dataclass
from honed.regular_files import open_regular

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".txt": "txt"}
MOST_LINE = 64 << 20
"""Bytes of a line."""
_BATCH = 256
TEXT = "prompt"
"""The field of a row that is a text and nothing else."""


@dataclass(frozen=True)
class Row:
    """One row. fields: its columns; empty where `error` says what is wrong with it."""

    fields: Mapping[str, Any]
    error: str | None = None


def format_of(path: Path, parameter: str) -> str:
    """By the suffix of a file's name. ParameterError for another."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ParameterError(parameter, path.name, f"must end with one of {', '.join(FORMATS)}")
    return found


def read_rows(path: Path, form: str | None = None) -> Iterator[Row]:
    """All rows in order. form: one of `FORMATS`; None: by the suffix. SourceError where the file cannot be read,
    HonedError where pyarrow is needed and absent."""
    match form or format_of(path, "input"):
        case "jsonl":
            return (_json_row(number, line) for number, line in _lines(path))
        case "txt":
            return (_text_row(number, line) for number, line in _lines(path))
        case "csv":
            return _csv_rows(path)
        case _:
            return _parquet_rows(path)


def column_names(path: Path) -> list[str] | None:
    """The columns of a table; None of a file of lines, where each row has its own."""
    match format_of(path, "input"):
        case "csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return next(csv.reader(file), [])
        case "parquet":
            return list(pyarrow_parquet().read_schema(path).names)
        case _:
            return None


def pyarrow_parquet() -> Any:
    """pyarrow.parquet. HonedError that names the extra where it is not there."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise HonedError("Parquet files need pyarrow: pip install 'honed[parquet]'") from None
    return pyarrow.parquet


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers from 1; empty lines are no rows."""
    with open_regular(path) as file:
        number = 0
        while line := file.readline(MOST_LINE + 1):
            number += 1
            if len(line) > MOST_LINE:
                raise SourceError(f"{path}: line {number} is over {MOST_LINE} bytes; split it")
            if line.strip():
                yield number, line


def _text_row(number: int, line: bytes) -> Row:
    try:
        return Row({TEXT: line.decode().rstrip("\r\n")})
    except UnicodeDecodeError as error:
        return Row({}, f"line {number}: must be UTF-8 text, and byte {line[error.start]:#04x} is not")


def _json_row(number: int, line: bytes) -> Row:
    try:
        # Numbers that are none are no JSON either, and could not be written again.
        found = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Row({}, f"line {number}: is not JSON: {error}")
    if isinstance(found, str):
        found = {TEXT: found}
    if not isinstance(found, dict):
        return Row({}, f"line {number}: must be an object or a text, and is {quoted(found)}")
    if _is_half(found):
        return Row({}, f"line {number}: holds half of a surrogate pair, which is no text")
    return Row(found)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _is_half(value: object) -> bool:
    return re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)) is not None


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(MOST_LINE)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            if len(set(names)) != len(names):
                raise SourceError(f"{path}: the first line names a column twice: {quoted(names)}")
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(names):
                    yield Row({}, f"line {lines.line_num}: has {len(cells)} cells, and the first line {len(names)}")
                else:
                    yield Row(dict(zip(names, cells, strict=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read as CSV in UTF-8: {error}") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    parquet = pyarrow_parquet()
    try:
        with open_regular(path) as file, parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                yield from (Row(fields) for fields in batch.to_pylist())
    except (OSError, ValueError) as error:  # pyarrow's errors are of both kinds
        raise SourceError(f"{path}: cannot be read as Parquet: {error}") from None
