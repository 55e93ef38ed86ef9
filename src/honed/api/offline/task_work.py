"""What a task of `honed.pipeline` makes of a row: the fields that it reads, and those that it adds.

Not here: replies and vectors (`work.py`), and the tasks (`api/pipelines/`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.api.pipelines.table import pipeline_class
from honed.errors import ParameterError, quoted
from honed.records import dataclass

Fields = Mapping[str, Any]
Made = dict[str, Any]
_TEXT = ("text", "sentence", "input", "prompt")
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "text-classification": {"top_k": None},
    "token-classification": {"aggregation_strategy": "simple"},
}
"""Where nothing else is said: all labels, and entities."""
_BY_HEAD = {"classes": "text-classification", "tags": "token-classification", "spans": "question-answering"}


@dataclass(frozen=True)
class TaskRow:
    """reads: fields that a row must have, in each place one of several names; the first place is that of --column.
    may_read: fields that are read where they are there. adds: those of the result, error besides."""

    reads: tuple[tuple[str, ...], ...]
    adds: tuple[str, ...]
    may_read: tuple[str, ...] = ()


ROWS: Mapping[str, TaskRow] = {
    "text-classification": TaskRow((_TEXT,), ("prediction", "score", "predictions"), ("text_pair",)),
    "zero-shot-classification": TaskRow((_TEXT,), ("prediction", "score", "predictions"), ("candidate_labels",)),
    "token-classification": TaskRow((_TEXT,), ("entities",)),
    "question-answering": TaskRow(
        (("question",), ("context",)), ("prediction", "score", "start", "end", "predictions")
    ),
    "fill-mask": TaskRow((_TEXT,), ("predictions",)),
    "feature-extraction": TaskRow((_TEXT,), ("features",)),
    "sentence-similarity": TaskRow((("source_sentence",), ("sentences",)), ("scores",)),
    "text-ranking": TaskRow((("query",), ("documents",)), ("ranking",)),
    "text-infilling": TaskRow((("prefix",), ("suffix",)), ("output",)),
}
"""By the task."""


def usual_task(model: TextEncoder) -> str | None:
    """The task that the head of an encoder is for; None for one without a head, or whose head fills masks."""
    return None if model.labels is None else _BY_HEAD.get(model.labels.kind)


def task_work(
    model: LanguageModel | TextEncoder, task: str, settings: Mapping[str, Any], column: str | None
) -> Callable[[Fields], Made]:
    """What is made of the fields of a row. settings: of the pipeline. Errors: those of `honed.pipeline`; of the rows
    ParameterError, for fields that are missing and for what the task does not take."""
    pipe = pipeline_class(task)(model, {**_USUAL.get(task, {}), **settings})
    row = ROWS[task]

    def work(fields: Fields) -> Made:
        given = [_field(fields, names, column if place == 0 else None) for place, names in enumerate(row.reads)]
        also = {name: fields[name] for name in row.may_read if fields.get(name) is not None}
        return _told(task, _called(pipe, task, given, also))

    return work


def _called(pipe: Any, task: str, given: Sequence[Any], also: Mapping[str, Any]) -> Any:
    match task:
        case "text-classification":
            return pipe({"text": given[0], **also} if also else given[0])
        case "question-answering":
            return pipe(question=given[0], context=given[1])
        case _:
            return pipe(*given, **also)


def _told(task: str, found: Any) -> Made:
    """The result of the pipeline as fields."""
    match task:
        case "text-classification":
            return {"prediction": found[0]["label"], "score": found[0]["score"], "predictions": found}
        case "zero-shot-classification":
            ranked = [
                {"label": label, "score": score} for label, score in zip(found["labels"], found["scores"], strict=True)
            ]
            return {"prediction": ranked[0]["label"], "score": ranked[0]["score"], "predictions": ranked}
        case "question-answering":
            answers = found if isinstance(found, list) else [found]
            best = answers[0]
            return {
                "prediction": best["answer"],
                "score": best["score"],
                "start": best["start"],
                "end": best["end"],
                "predictions": answers,
            }
        case "text-infilling":
            return {"output": found["generated_text"]}
        case _:
            return {ROWS[task].adds[0]: found}


def _field(fields: Fields, names: Sequence[str], column: str | None) -> Any:
    among = names if column is None else (column,)
    for name in among:
        if fields.get(name) is not None:
            return fields[name]
    shown = ", ".join(map(quoted, list(fields)[:8])) or "none"
    raise ParameterError("column", " or ".join(among), f"is no field of the row, which has {shown}; name one")
