"""Labelled files: texts with their classes, sentences with tags of their words, dialogues.

JSON lines, CSV, TSV, Parquet, and columns as of CoNLL. Every row has to be right, since one that is not would be
learned. Not here: tokens of these (`train_inputs.py`), and files of which single rows may be wrong (`offline/rows.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.api.offline.rows import FORMATS, read_rows
from honed.errors import FormatError, ParameterError, SourceError, quoted
from honed.regular_files import open_regular

TEXTS = ("text", "sentence", "content")
LABELS = ("label", "labels")
WORDS = ("tokens", "words")
TAGS = ("ner_tags", "tags", "labels")
MESSAGES = "messages"
"""Fields that are looked for, in this order, where none is named."""
COLUMNS = (".conll", ".conll2003", ".iob", ".iob2", ".bio", ".annotated")
"""Suffixes of files of columns: a word and its tag a line, an empty line behind each sentence."""
_TABLE = ".tsv"
_DOCUMENT = "-DOCSTART-"
_MARK = "\ufeff"
"""Of the order of bytes, which editors leave at ends of files too."""


@dataclass(frozen=True)
class LabelledText:
    """A text, or two that are read together, and its labels; `several` where it may have any number of them."""

    text: str
    second: str | None
    labels: tuple[str, ...]
    several: bool


@dataclass(frozen=True)
class TaggedWords:
    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_texts(
    path: Path, *, text: str | None = None, label: str | None = None, second: str | None = None
) -> list[LabelledText]:
    """Texts with labels; `text`, `label` and `second`, that of a second text, name fields.

    Errors: SourceError for a file that cannot be read, ParameterError for another suffix and for a field that no row
    has, FormatError naming the row.
    """
    found: list[LabelledText] = []
    for number, row in _rows(path):
        first = _text_of(path, number, row, _At(path, number, row).field(text, TEXTS, "text"))
        named = _At(path, number, row).field(label, LABELS, "label")
        other = (
            None if second is None else _text_of(path, number, row, _At(path, number, row).field(second, (), "pair"))
        )
        value = row[named]
        several = isinstance(value, list)
        labels = tuple(_label(path, number, named, each) for each in (value if several else [value]))
        if found and several != found[0].several:
            raise FormatError(path, f"row {number}: {named}", "all rows must have a list of labels, or none of them")
        found.append(LabelledText(first, other, labels, several))
    return _some(path, found)


def read_tagged(path: Path, *, words: str | None = None, tags: str | None = None) -> list[TaggedWords]:
    """Sentences with a tag for each word; `words` and `tags` name fields, which columns do not have. Errors as of
    `read_texts`."""
    if path.suffix.lower() in COLUMNS:
        return _some(path, list(_columns(path)))
    found = []
    for number, row in _rows(path):
        of_words = _At(path, number, row).field(words, WORDS, "text")
        of_tags = _At(path, number, row).field(tags, TAGS, "label")
        told, given = row[of_words], row[of_tags]
        if not isinstance(told, list) or not told or not all(isinstance(word, str) and word.strip() for word in told):
            raise FormatError(path, f"row {number}: {of_words}", f"must be a list of words, and is {quoted(told)}")
        if not isinstance(given, list) or len(given) != len(told):
            size = len(given) if isinstance(given, list) else quoted(given)
            raise FormatError(
                path, f"row {number}: {of_tags}", f"must have a tag for each of {len(told)} words: {size}"
            )
        found.append(TaggedWords(tuple(told), tuple(_label(path, number, of_tags, tag) for tag in given)))
    return _some(path, found)


def read_dialogues(path: Path, *, messages: str | None = None) -> list[Sequence[Mapping[str, Any]]]:
    """Messages of each dialogue: objects with role and content. Errors as of `read_texts`."""
    found: list[Sequence[Mapping[str, Any]]] = []
    for number, row in _rows(path):
        named = _At(path, number, row).field(messages, (MESSAGES,), "text")
        value = row[named]
        right = isinstance(value, list) and all(
            isinstance(one, dict) and isinstance(one.get("role"), str) for one in value
        )
        if not right or not any(one["role"] == "assistant" for one in value):
            problem = "must be a list of objects with a role, one of them assistant"
            raise FormatError(path, f"row {number}: {named}", f"{problem}; it is {quoted(value)}")
        found.append(value)
    return _some(path, found)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Numbers from 1, and fields."""
    suffix = path.suffix.lower()
    if suffix == _TABLE:
        yield from _table(path)
        return
    if suffix not in FORMATS or suffix == ".txt":
        known = [each for each in FORMATS if each != ".txt"]
        raise ParameterError("data", path.name, f"must end with one of {', '.join([*known, _TABLE, *COLUMNS])}")
    for number, row in enumerate(read_rows(path), 1):
        if row.error is not None:
            raise FormatError(path, f"row {number}", row.error)
        yield number, row.fields


def _table(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Cells between tabs, without any quoting."""
    names: list[str] | None = None
    for number, line in _lines(path):
        cells = line.split("\t")
        if names is None:
            names = cells
            if len(set(names)) != len(names):
                raise FormatError(path, "line 1", f"names a column twice: {quoted(names)}")
        elif len(cells) != len(names):
            raise FormatError(path, f"line {number}", f"has {len(cells)} cells, and the first line {len(names)}")
        else:
            yield number - 1, dict(zip(names, cells, strict=True))


def _columns(path: Path) -> Iterator[TaggedWords]:
    words: list[str] = []
    tags: list[str] = []
    for number, line in _lines(path, blank=True):
        cells = line.split("\t") if "\t" in line else line.split()
        cells = [cell.strip().strip(_MARK) for cell in cells]
        if not any(cells):
            if words:
                yield TaggedWords(tuple(words), tuple(tags))
                words, tags = [], []
            continue
        if cells[0] == _DOCUMENT:
            continue
        if len(cells) < 2 or not cells[0] or not cells[-1]:
            raise FormatError(path, f"line {number}", f"must be a word and its tag, and is {quoted(line)}")
        words.append(cells[0])
        tags.append(cells[-1])
    if words:
        yield TaggedWords(tuple(words), tuple(tags))


def _lines(path: Path, *, blank: bool = False) -> Iterator[tuple[int, str]]:
    """Numbers from 1. Empty lines are left out unless they are asked for."""
    with open_regular(path) as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise SourceError(f"{path}: line {number}: must be UTF-8 text: {error.reason}") from None
            if blank or text:
                yield number, text


@dataclass(frozen=True)
class _At:
    """A row, and where it is."""

    path: Path
    number: int
    row: Mapping[str, Any]

    def field(self, named: str | None, usual: Sequence[str], option: str) -> str:
        """The name of a field that it has: the one that is named, else the first of the usual ones."""
        there = ", ".join(map(quoted, self.row)) or "nothing"
        if named is not None and named not in self.row:
            raise ParameterError(option, named, f"must be a field, and row {self.number} of {self.path} has {there}")
        found = named or next((name for name in usual if name in self.row), None)
        if found is None:
            problem = f"has none of {', '.join(usual)}, but {there}; name it with --{option}"
            raise FormatError(self.path, f"row {self.number}", problem)
        return found


def _text_of(path: Path, number: int, row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise FormatError(path, f"row {number}: {name}", f"must be a text, and is {quoted(value)}")
    return value


def _label(path: Path, number: int, name: str, value: object) -> str:
    """As a name: numbers as their digits."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float) and value == int(value):
        return str(int(value))
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise FormatError(path, f"row {number}: {name}", f"must be a label, a text or a whole number: {quoted(value)}")


def _some(path: Path, found: list[Any]) -> list[Any]:
    if not found:
        raise SourceError(f"{path}: holds no rows")
    return found
