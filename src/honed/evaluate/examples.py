"""Rows of data as examples of a task: what a model is asked, what is right, and what a report shows of it.

Not here: reading files (`api/evaluation/data.py`), and asking models.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.errors import HonedError, quoted
from honed.evaluate.task_file import OPTIONAL, ROLES, TaskFile

_COLUMN = re.compile(r"\{(\w+)\}")
_SHOWN = 2000


@dataclass(frozen=True)
class Example:
    """row: its number in the data, from 1. inputs: by role, in the types of the task: texts, or lists of texts. prompt:
    what a model that generates is given, where the task says. reference: what is right, as the metrics of the task take
    it. columns: the whole row."""

    row: int
    inputs: Mapping[str, Any]
    reference: Any
    prompt: str | None
    columns: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """What it is about, for a reader."""
        parts = [
            " ".join(value) if isinstance(value, list) and name == "tokens" else value
            for name, value in self.inputs.items()
        ]
        text = "\n".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
        text = text or self.prompt or ""
        return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def make_example(task: TaskFile, row: int, columns: Mapping[str, Any]) -> Example:
    """The example of a row. HonedError that names row and column where something is missing or of another type."""
    reader = _Row(task, row, columns)
    inputs, reference = _READERS[task.task](reader)
    for role in OPTIONAL.get(task.task, ()):
        if role in task.fields or role in columns:
            inputs[role] = reader.text(role)
    prompt = None if task.prompt is None else filled(task.prompt, columns, f"row {row}: prompt")
    return Example(row, inputs, reference, prompt, columns)


def filled(template: str, columns: Mapping[str, Any], where: str) -> str:
    """A template with columns in their places. HonedError for a name that is no column."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            raise HonedError(f"{where}: {{{name}}} is no column; there are {', '.join(map(str, columns))}{hint}")
        given = columns[name]
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    return _COLUMN.sub(value, template)


class _Row:
    """Columns of one row in the types that a task needs."""

    def __init__(self, task: TaskFile, row: int, columns: Mapping[str, Any]) -> None:
        self.task, self.row, self.columns = task, row, columns

    def get(self, role: str) -> Any:
        name = self.task.column(role)
        if name not in self.columns or self.columns[name] is None:
            known = ", ".join(map(str, self.columns))
            raise HonedError(
                f"row {self.row}: has no {quoted(name)}, which {self.task.task} takes as {role}; it has {known}. "
                f"Say under fields which column it is"
            )
        return self.columns[name]

    def text(self, role: str) -> str:
        value = self.get(role)
        if not isinstance(value, str):
            raise self.wrong(role, value, "a text")
        return value

    def texts(self, role: str) -> list[str]:
        """A list; a text is one of them, or a list as JSON, as CSV has it."""
        value = _listed(self.get(role))
        if isinstance(value, str):
            return [value]
        if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
            raise self.wrong(role, value, "a list of texts")
        return list(value)

    def numbers(self, role: str) -> list[float]:
        value = _listed(self.get(role))
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(map(_is_number, value)):
            raise self.wrong(role, value, "a list of numbers")
        return [float(item) for item in value]

    def number(self, role: str) -> float:
        value = self.get(role)
        try:
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (TypeError, ValueError):
            raise self.wrong(role, value, "a number") from None

    def label(self, value: Any) -> str:
        """As the model says it."""
        name = str(value)
        return self.task.labels.get(name, name)

    def wrong(self, role: str, value: Any, expected: str) -> HonedError:
        return HonedError(f"row {self.row}: {self.task.column(role)} = {quoted(value)}: must be {expected}")


Read = tuple[dict[str, Any], Any]


def _classified(row: _Row) -> Read:
    value = row.get("label")
    labels = value if isinstance(value, list) else [value]
    return {"text": row.text("text")}, tuple(sorted({row.label(label) for label in labels}))


def _tagged(row: _Row) -> Read:
    tokens, tags = row.texts("tokens"), row.get("tags")
    tags = _listed(tags)
    if not isinstance(tags, Sequence) or isinstance(tags, str) or len(tags) != len(tokens):
        raise row.wrong("tags", tags, f"a list of {len(tokens)} tags, one a token")
    return {"tokens": tokens}, [row.label(tag) for tag in tags]


def _asked(row: _Row) -> Read:
    value = row.get("answers")
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        answers = value["text"]  # as SQuAD has them
    else:
        answers = row.texts("answers")
    return {"question": row.text("question"), "context": row.text("context")}, answers


def _written(row: _Row) -> Read:
    return {}, row.texts("references")


def _programmed(row: _Row) -> Read:
    return {"prompt": row.text("prompt")}, row.text("tests")


def _similar(row: _Row) -> Read:
    return {"text": row.text("text"), "text_pair": row.text("text_pair")}, row.number("score")


def _ranked(row: _Row) -> Read:
    candidates, grades = row.texts("candidates"), row.numbers("grades")
    if len(candidates) != len(grades) or not candidates:
        raise row.wrong("grades", grades, f"{len(candidates)} numbers, one a candidate")
    return {"query": row.text("query"), "candidates": candidates}, grades


def _read(row: _Row) -> Read:
    return {"text": row.text("text")}, None


_READERS = {
    "text-classification": _classified,
    "token-classification": _tagged,
    "question-answering": _asked,
    "generation": _written,
    "code": _programmed,
    "similarity": _similar,
    "ranking": _ranked,
    "language-modelling": _read,
}
assert _READERS.keys() == ROLES.keys()


def _listed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        return found if isinstance(found, list) else value
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
