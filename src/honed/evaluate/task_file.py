"""A task of evaluation: a small versioned file that says what data a model is asked about and by which metrics.

    version: 1
    task: text-classification
    data: {path: test.tsv}                      # beside this file; or {hub: owner/name, file: ..., revision: ...}
    fields: {text: sentence}                    # what the task needs: the column that has it
    labels: {"0": negative, "1": positive}      # what the data says: what the model says
    metrics: [accuracy, f1_macro, roc_auc]

Unknown keys are refused with the nearest known one. Not here: reading the data (`api/evaluation/data.py`), what a row
becomes (`examples.py`), and the metrics (`metrics/registry.py`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from honed.checkpoints.json_files import read_object
from honed.checkpoints.yaml_files import read_yaml_object
from honed.errors import HonedError, ParameterError
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.registry import default_metrics, find_metric

Kind = Literal[
    "text-classification",
    "token-classification",
    "question-answering",
    "generation",
    "code",
    "similarity",
    "ranking",
    "language-modelling",
]
Form = Literal["jsonl", "csv", "tsv", "parquet", "conll", "txt"]
_MAX_BYTES, _MAX_VALUES = 1 << 20, 50_000

ROLES: Mapping[str, tuple[str, ...]] = {
    "text-classification": ("text", "label"),
    "token-classification": ("tokens", "tags"),
    "question-answering": ("question", "context", "answers"),
    "generation": ("references",),
    "code": ("prompt", "tests"),
    "similarity": ("text", "text_pair", "score"),
    "ranking": ("query", "candidates", "grades"),
    "language-modelling": ("text",),
}
"""What a row of each kind of task must have; a column of that name unless `fields` says another."""
OPTIONAL: Mapping[str, tuple[str, ...]] = {"text-classification": ("text_pair",)}
"""What it may have."""
PARAPHRASE = "paraphrase"
"""Of any kind of task: the column that says the same in other words, for the check of robustness."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataSettings(_Part):
    """Where rows come from. path: a file, beside the task file if it is relative. hub, file, revision: a file of a
    dataset of the Hugging Face Hub. format: None is by the suffix. columns: of CoNLL lines, their names in order."""

    path: str | None = None
    hub: str | None = None
    file: str | None = None
    revision: str | None = None
    format: Form | None = None
    columns: tuple[str, ...] = ("tokens", "tags")

    @model_validator(mode="after")
    def _one_place(self) -> DataSettings:
        if (self.path is None) == (self.hub is None):
            raise ValueError("must have either path, a file, or hub, a dataset")
        if (self.hub is None) != (self.file is None):
            raise ValueError("hub and file go together: a dataset and the file of it")
        return self


class OptionSettings(_Part):
    """`MetricOptions`, and network: whether programs may run where their network cannot be cut."""

    positive: str | None = None
    scheme: Literal["iob2", "bioes"] | None = None
    tokenize: str | None = None
    stemmer: bool = False
    network: bool = False
    seconds: Annotated[float, Field(gt=0, le=600)] = 10.0


class TaskFile(_Part):
    """The whole file. labels: from what the data says to what the model says. prompt: of a model that generates, with
    {column} where a column of the row goes; of text classification too, whose labels are then scored as continuations.
    chat: whether the prompt is a message of a user. samples: replies to each example, drawn at `temperature`. limit:
    examples that are taken, drawn by the seed, which also makes the intervals."""

    version: Literal[1]
    task: Kind
    name: str | None = None
    data: DataSettings
    fields: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    metrics: tuple[str, ...] = ()
    options: OptionSettings = OptionSettings()
    prompt: str | None = None
    program: str = "{prompt}{completion}\n{tests}\n"
    chat: bool = False
    max_tokens: Annotated[int, Field(ge=1, le=1 << 20)] = 128
    stop: tuple[str, ...] = ()
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    limit: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0

    @model_validator(mode="after")
    def _fits(self) -> TaskFile:
        known = (*ROLES[self.task], *OPTIONAL.get(self.task, ()), PARAPHRASE)
        for role in self.fields:
            if role not in known:
                near = difflib.get_close_matches(role, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ValueError(f"fields.{role}: {hint}{self.task} has {', '.join(known)}")
        if self.task == "generation" and self.prompt is None:
            raise ValueError("prompt: must say what a model is given, for instance '{question}'")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples: over 1 need a temperature over 0, or all would be the same")
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Those that are named, or the usual ones."""
        return self.metrics or default_metrics(self.task)

    @property
    def metric_options(self) -> MetricOptions:
        found = self.options
        return MetricOptions(found.positive, found.scheme, found.tokenize, found.stemmer)

    def column(self, role: str) -> str:
        """The column that has what a task needs."""
        return self.fields.get(role, role)

    def as_json(self) -> dict[str, Any]:
        """Every setting, defaults included."""
        return self.model_dump(mode="json")


def read_task(path: Path) -> TaskFile:
    """The task of a .json, .yaml or .yml file.

    Errors: ParameterError for an unknown key or metric, or a value out of range; SourceError for a file that cannot be
    read, FormatError for one that is no object of JSON or YAML.
    """
    if path.suffix in (".yaml", ".yml"):
        value = read_yaml_object(path, values=_MAX_VALUES)
    elif path.suffix == ".json":
        value = read_object(path, _MAX_BYTES, values=_MAX_VALUES)
    else:
        raise ParameterError("task", str(path), "must be a .json, .yaml or .yml file; docs/how-to-evaluate.md has some")
    return make_task(value, str(path))


def make_task(value: Mapping[str, Any], source: str = "task") -> TaskFile:
    """A task from a mapping of the same form. source: what errors name. Errors: ParameterError."""
    try:
        task = TaskFile.model_validate_json(json.dumps(value))
    except ValidationError as error:
        raise _explained(error, source) from None
    except (TypeError, ValueError) as error:
        raise ParameterError(source, value, f"must have the form of JSON: {error}") from error
    for name in task.metric_names:
        find_metric(name, task.task)
    return task


def _explained(error: ValidationError, source: str) -> HonedError:
    problem = error.errors()[0]
    where = source + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        part = problem["loc"][0] if len(problem["loc"]) > 1 else ""
        parts: dict[str, type[BaseModel]] = {"data": DataSettings, "options": OptionSettings}
        known = list(parts.get(str(part), TaskFile).model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return ParameterError(where, problem["input"], f"is an unknown key; {hint}")
    if problem["type"] == "missing":
        return ParameterError(where, "nothing", "must be there; docs/how-to-evaluate.md has examples")
    if problem["type"] == "literal_error" and problem["loc"] == ("task",):
        near = difflib.get_close_matches(str(problem["input"]), get_args(Kind), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return ParameterError(where, problem["input"], f"{hint}must be one of {', '.join(get_args(Kind))}")
    return ParameterError(where, _given(problem["input"]), problem["msg"].removeprefix("Value error, "))


def _given(value: Any) -> Any:
    """A whole object is not shown."""
    return "this file" if isinstance(value, dict) and "version" in value else value
