"""`honed.evaluate_task`: a model, a task and a reference to a report.

Models are loaded one after the other, so that memory is that of one; only text that is predicted token by token has
both at once. Not here: what a report holds (`evaluate/task_report.py`), and its page (`evaluate/page.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from honed.api.evaluate import REFERENCE_DTYPE, Progress, instruction_set
from honed.api.evaluation.data import TaskData, read_data
from honed.api.evaluation.language import predict_documents
from honed.api.evaluation.predictors import ask, check_labels
from honed.api.evaluation.probes import Answers, Probes, Wanted
from honed.api.load import check_model, load_language_model
from honed.api.subject import Kind, ReadModel, checkpoint_fingerprint, open_model, open_reference
from honed.backends.open import check_here
from honed.backends.options import RunKeywords, RunOptions
from honed.checkpoints.base import Manifested
from honed.checkpoints.open import open_checkpoint
from honed.errors import ParameterError, SourceError
from honed.evaluate.bias import read_templates
from honed.evaluate.certificate import Subject
from honed.evaluate.page import page
from honed.evaluate.resample import Draws
from honed.evaluate.store import check_writable, write_json
from honed.evaluate.task_file import TaskFile, make_task, read_task
from honed.evaluate.task_report import finite, task_report
from honed.models.registry import is_encoder, read_encoder, read_model
from honed.notes import note
from honed.parameters import flag, function, location, takes, whole_number
from honed.version import __version__

REPORT, PAGE = "report.json", "report.html"
_OF_TWO = ("kl", "top1_agreement")
"""Metrics of a model beside another one."""


@dataclasses.dataclass(frozen=True)
class TaskEvaluation:
    """A report as JSON values."""

    report: Mapping[str, Any]

    @cached_property
    def html(self) -> str:
        """The report as one page that needs nothing else."""
        return page(self.report)

    def value(self, metric: str) -> float:
        """Of the model. ParameterError for a metric that the report does not have."""
        metrics = self.report["metrics"]
        if metric not in metrics:
            raise ParameterError("metric", metric, f"must be one of {', '.join(metrics)}")
        return float(metrics[metric]["value"]["value"])

    def write(self, directory: str | Path) -> tuple[Path, Path]:
        """Writes report.json and report.html; their paths."""
        place = location("directory", directory)
        paths = place / REPORT, place / PAGE
        for path in paths:
            check_writable(path)
        write_json(paths[0], self.report)
        paths[1].write_text(self.html, encoding="utf-8")
        return paths


@takes(RunKeywords)
def evaluate_task(
    model: str | Path,
    task: str | Path | Mapping[str, Any],
    reference: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    limit: int | None = None,
    robustness: bool = False,
    explain: bool = False,
    bias: str | Path | None = None,
    progress: Progress | None = None,
    **given: Unpack[RunKeywords],
) -> TaskEvaluation:
    """What a model is worth at a task, and how far it is from its reference, with intervals and paired tests.

    model, reference: names as of `honed.load`. reference None: what an artifact was made from; any other model then has
    none. It runs in float32. task: a task file (docs/how-to-evaluate.md), or a mapping of the same form, whose paths
    are relative to the present directory. limit: examples, instead of the task's own. robustness: the same with typos,
    another case and other spaces, and an attack that replaces words. explain: which words decisions rest on, and how
    far that moved. bias: a file of templates in which groups are swapped. progress: called with what is done now. How
    the model is run may be said by keywords, or by a `honed.RunOptions` that holds them.

    Errors: those of `honed.load`; ParameterError and FormatError for what is wrong with task or data; UnsupportedError
    for a model that has no answer to the task, or data that a metric is not for.
    """
    check_model("model", model, None)
    if reference is not None:
        check_model("reference", reference, None)
    run = RunOptions.of(options, given)
    check_here(run)
    function("progress", progress)
    templates = None if bias is None else read_templates(location("bias", bias))
    wanted = Wanted(flag("robustness", robustness), flag("explain", explain), templates)
    limit = None if limit is None else whole_number("limit", limit, 1)
    settings, beside, default_name = _task(task)
    data = read_data(settings, beside, limit)
    other = _reference(str(model)) if reference is None else str(reference)
    settings = _possible(settings, other is not None)
    report = progress or (lambda stage, done, total: None)
    names = [(str(model), run), *([] if other is None else [(other, _exact(other, run))])]
    probes = Probes(settings, data.examples, wanted)
    # The reference first: what it is asked of its own accord the model is asked too.
    order = list(reversed(names))
    documents = settings.task == "language-modelling"
    plain = list(reversed(_documents(names, data, report))) if documents else [None] * len(order)
    answers = []
    for subject, said in zip(order, plain, strict=True):
        if said is not None and not wanted.any:
            answers.append(Answers(subject[0], said))
            continue
        answers.append(_asked(settings, subject, data, probes, said, report=report))
    ours, theirs = answers[-1], answers[0] if len(answers) == 2 else None
    report("resampling", len(data.examples), len(data.examples))
    found: dict[str, Any] = {
        "format": 1,
        "name": settings.name or default_name,
        "model": dataclasses.asdict(_subject(*names[0])),
        "reference": dataclasses.asdict(_subject(*names[1])) if len(names) == 2 else None,
        "data": {
            "name": data.path.name,
            "sha256": data.sha256,
            "rows": data.rows,
            "examples": len(data.examples),
        },
        **task_report(settings, data.examples, ours.plain, None if theirs is None else theirs.plain),
        "sections": probes.sections(ours, theirs),
        "task": settings.as_json(),
        "settings": {
            "draws": dataclasses.asdict(Draws(seed=settings.seed)),
            "isa": instruction_set(run.isa),
            "version": __version__,
        },
    }
    return TaskEvaluation(finite(found))


def _task(task: str | Path | Mapping[str, Any]) -> tuple[TaskFile, Path, str]:
    """The task, the directory that its paths are relative to, and what it is called."""
    if isinstance(task, Mapping):
        return make_task(task), Path(), str(task.get("task"))
    path = location("task", task)
    return read_task(path), path.parent, path.stem


def _possible(task: TaskFile, compared: bool) -> TaskFile:
    """Without the metrics of two models where there is one, unless they were asked for."""
    if compared or not set(_OF_TWO) & set(task.metric_names):
        return task
    if task.metrics:
        raise ParameterError("reference", None, f"must be there for {' and '.join(_OF_TWO)}, which compare two models")
    return task.model_copy(update={"metrics": tuple(name for name in task.metric_names if name not in _OF_TWO)})


def _reference(name: str) -> str | None:
    """What an artifact was made from, as long as it is there. ArtifactError where it has changed since."""
    config = open_checkpoint(name).config
    try:
        return _source(name, read_encoder) if is_encoder(config) else _source(name, read_model)
    except SourceError as error:
        note(f"{error}; there is no reference")
        return None


def _source(name: str, read: ReadModel[Kind]) -> str | None:
    opened = open_model(name, read)
    return open_reference(opened, None, read).name if isinstance(opened.checkpoint, Manifested) else None


def _exact(name: str, run: RunOptions) -> RunOptions:
    """In float32; an encoder has no cache."""
    if is_encoder(open_checkpoint(name).config):
        return replace(run, dtype=REFERENCE_DTYPE)
    return replace(run, dtype=REFERENCE_DTYPE, kv=REFERENCE_DTYPE)


def _subject(name: str, run: RunOptions) -> Subject:
    return Subject(name, run.dtype, run.kv, checkpoint_fingerprint(name))


def _asked(
    task: TaskFile,
    subject: tuple[str, RunOptions],
    data: TaskData,
    probes: Probes,
    said: Sequence[Any] | None,
    *,
    report: Progress,
) -> Answers:
    """All that one model is asked. said: of the examples, where that is known."""
    name, run = subject
    report(f"loading {name} ({run.dtype})", 0, len(data.examples))

    def progress(done: int, of: int) -> None:
        report(f"asking {name}", done, of)

    with closing(ask(task, name, run)) as asked:
        check_labels(task, asked, data.examples)
        plain = asked.predict(data.examples, progress) if said is None else said
        return probes.ask(asked, name, run, plain, progress)


def _documents(names: Sequence[tuple[str, RunOptions]], data: TaskData, report: Progress) -> list[Sequence[Any]]:
    """Of the model, and of the reference where there is one."""
    report(f"loading {names[0][0]}", 0, len(data.examples))
    with load_language_model(*names[0]) as model:
        if len(names) == 1:
            return [predict_documents(model, None, data.examples, lambda done, of: report("reading", done, of))[0]]
        with load_language_model(*names[1]) as reference:
            ours, theirs = predict_documents(
                model, reference, data.examples, lambda done, of: report("comparing", done, of)
            )
            assert theirs is not None
            return [ours, theirs]
