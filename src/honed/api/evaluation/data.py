"""The data of a task of evaluation: rows of a file on disk or of a dataset of the hub, as examples.

JSON lines, CSV, Parquet and lines of text are read as `honed run` reads them; here are tab-separated values, which
quote nothing, and CoNLL columns, a word a line and an empty line between sentences. Not here: what a row becomes
(`evaluate/examples.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.api.offline.rows import FORMATS, read_rows
from honed.checkpoints.content_hash import file_sha256
from honed.errors import FormatError, HonedError, ParameterError, SourceError
from honed.evaluate.examples import Example, make_example
from honed.evaluate.task_file import DataSettings, TaskFile
from honed.records import dataclass
from honed.regular_files import open_regular

_OWN = {".tsv": "tsv", ".conll": "conll", ".iob": "conll", ".bio": "conll"}
_MOST_LINE = 16 << 20


@dataclass(frozen=True)
class TaskData:
    """examples: those that are asked. rows: how many there are. path, sha256: of the file."""

    examples: list[Example]
    rows: int
    path: Path
    sha256: str


def read_data(task: TaskFile, beside: Path, limit: int | None = None) -> TaskData:
    """The examples of a task. beside: the directory that a path is relative to. limit: instead of the task's own.

    Errors: SourceError where the file cannot be had or read, FormatError for a malformed row, HonedError for one that
    lacks something, ParameterError for another suffix.
    """
    path = _located(task.data, beside)
    wanted = task.limit if limit is None else limit
    rows = list(enumerate(_rows(task.data, path), 1))
    if not rows:
        raise FormatError(path, "rows", "there are none")
    chosen = rows
    if wanted is not None and wanted < len(rows):
        chosen = sorted(random.Random(task.seed).sample(rows, wanted), key=lambda row: row[0])
    examples = [make_example(task, number, columns) for number, columns in chosen]
    return TaskData(examples, len(rows), path, file_sha256(path))


def _located(data: DataSettings, beside: Path) -> Path:
    if data.path is not None:
        return beside / data.path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    assert data.hub is not None and data.file is not None
    try:
        return Path(hf_hub_download(data.hub, data.file, repo_type="dataset", revision=data.revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(
            f"{data.file} of the dataset {data.hub} cannot be had: {error!s:.200}; give data.path, a file"
        ) from None


def _rows(data: DataSettings, path: Path) -> Iterator[Mapping[str, Any]]:
    form = data.format or _OWN.get(path.suffix.lower()) or FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join((*FORMATS, *_OWN))
        raise ParameterError("data.path", path.name, f"must end with one of {known}; or say data.format")
    if form == "tsv":
        yield from _tsv_rows(path)
    elif form == "conll":
        yield from _conll_rows(path, data.columns)
    else:
        for row in read_rows(path, form):
            if row.error is not None:
                raise FormatError(path, "rows", row.error)
            # A line of text is the text of an example.
            yield {"text": row.fields["prompt"]} if form == "txt" else row.fields


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without their ends, numbered from 1."""
    with open_regular(path) as file:
        number = 0
        while line := file.readline(_MOST_LINE + 1):
            number += 1
            if len(line) > _MOST_LINE:
                raise SourceError(f"{path}: line {number} is over {_MOST_LINE} bytes; split it")
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise FormatError(path, f"line {number}", "is not UTF-8") from None


def _tsv_rows(path: Path) -> Iterator[dict[str, Any]]:
    names: list[str] = []
    for number, line in _lines(path):
        cells = line.split("\t")
        if not names:
            names = cells
            if len(set(names)) != len(names):
                raise FormatError(path, "line 1", "names a column twice")
        elif line:
            if len(cells) != len(names):
                raise FormatError(path, f"line {number}", f"has {len(cells)} cells, and the first line {len(names)}")
            yield dict(zip(names, cells, strict=True))


def _conll_rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A sentence a row, a list for each column: the first columns by their order, the last one by being last."""
    if len(columns) < 2:
        raise HonedError(f"data.columns = {list(columns)}: must name at least the words and the tags")
    sentence: list[list[str]] = []
    for number, line in _lines(path):
        # Tabs where there are some: a word may hold a space that is none of ASCII's.
        cells = line.split("\t") if "\t" in line else line.split(" ")
        cells = [cell for cell in cells if cell]
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentence:
                yield _sentence(sentence, columns)
            sentence = []
            continue
        if len(cells) < len(columns):
            raise FormatError(path, f"line {number}", f"has {len(cells)} columns, must have {len(columns)} or more")
        sentence.append([*cells[: len(columns) - 1], cells[-1]])
    if sentence:
        yield _sentence(sentence, columns)


def _sentence(lines: list[list[str]], columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: [line[i] for line in lines] for i, name in enumerate(columns)}
