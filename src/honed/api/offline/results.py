"""Rows and their results as a file: JSON lines, CSV or Parquet, whole or not at all.

Each row of the output is the row of the input with the fields of the result behind it, in the order of the input.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from honed.api.offline.rows import format_of, pyarrow_parquet
from honed.errors import MachineError, ParameterError

_BATCH = 256
Rows = Iterator[dict[str, Any]]


def check_output(path: Path, columns: Collection[str], added: Sequence[str]) -> None:
    """ParameterError where the output's format is not known, or its columns would be there twice."""
    kind = format_of(path, "output")
    if kind == "txt":
        raise ParameterError("output", path.name, "must end with .jsonl, .csv or .parquet")
    if kind == "parquet":
        pyarrow_parquet()
    twice = [name for name in added if name in columns]
    if twice:
        raise ParameterError("input", twice[0], "is a column of the results; rename that of the input")


def write_results(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    """columns: all that a row of a table may have. Renamed into place; MachineError where the disk does not take it."""
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        match format_of(path, "output"):
            case "csv":
                _write_csv(partial, rows, columns)
            case "parquet":
                _write_parquet(partial, rows, columns)
            case _:
                _write_json(partial, rows)
        partial.replace(path)
    except OSError as error:
        raise MachineError(
            f"{path}: cannot be written: {error.strerror or error}; the same command tries again, nothing is lost"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write_json(path: Path, rows: Rows) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        _to_disk(file.fileno(), file.flush)


def _write_csv(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
        _to_disk(file.fileno(), file.flush)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list | tuple | bool) else value


def _write_parquet(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    import pyarrow

    parquet = pyarrow_parquet()
    writer: Any = None
    try:
        batch: list[dict[str, Any]] = []
        schema = None
        for last, row in _marked(rows):
            batch.append({name: row.get(name) for name in columns})
            if len(batch) < _BATCH and not last:
                continue
            # The types of the first rows are those of the file: a column that is empty in them is one of texts.
            table = pyarrow.Table.from_pylist(batch, schema=schema)
            if schema is None:
                fields = [
                    pyarrow.field(field.name, pyarrow.string()) if pyarrow.types.is_null(field.type) else field
                    for field in table.schema
                ]
                schema = pyarrow.schema(fields)
                table = table.cast(schema)
                writer = parquet.ParquetWriter(path, schema)
            writer.write_table(table)
            batch = []
        if writer is None:
            parquet.write_table(pyarrow.table({name: [] for name in columns}), path)
    finally:
        if writer is not None:
            writer.close()


def _marked(rows: Rows) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Each row, with whether it is the last one."""
    row = next(rows, None)
    while row is not None:
        following = next(rows, None)
        yield following is None, row
        row = following


def _to_disk(descriptor: int, flush: Any) -> None:
    flush()
    os.fsync(descriptor)
