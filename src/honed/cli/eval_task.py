"""`honed eval --task` and `--lm-eval`: what a model is worth at tasks, shown as a table, as JSON or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.cli.output import print_json, print_line, print_table
from honed.cli.progress import progress
from honed.errors import ParameterError

if TYPE_CHECKING:
    from honed.backends.options import RunOptions


@dataclass(frozen=True)
class TaskOptions:
    """Of the command line: a task file, or names of lm-eval's tasks."""

    task: Path | None
    lm_eval: str | None
    limit: int | None
    robustness: bool
    explain: bool
    bias: Path | None
    out: Path | None
    json: bool


def evaluate_other(
    model: str, reference: str | None, run: RunOptions, options: TaskOptions, unused: Mapping[str, object]
) -> None:
    """Runs either and prints it. ParameterError for options of a text (`unused`, those that were given)."""
    for name, value in unused.items():
        if value is not None:
            raise ParameterError(name, str(value), "is for a text; leave it out beside --task and --lm-eval")
    if options.lm_eval is not None:
        _lm_eval(model, reference, run, options)
        return
    from honed.api.evaluation.task import evaluate_task

    assert options.task is not None
    with progress() as report:
        found = evaluate_task(
            model,
            options.task,
            reference,
            run,
            limit=options.limit,
            robustness=options.robustness,
            explain=options.explain,
            bias=options.bias,
            progress=report,
        )
    paths = [] if options.out is None else found.write(options.out)
    if options.json:
        print_json(found.report)
        return
    _show(found.report)
    for path in paths:
        print_line(f"wrote {path}")


def _show(report: Mapping[str, Any]) -> None:
    from honed.evaluate.metrics.registry import find_metric
    from honed.evaluate.page import estimate_cells

    kind, reference = report["task"]["task"], report.get("reference")
    rows = []
    for name, found in report["metrics"].items():
        form = ".2%" if find_metric(name, kind).bounded else ".4f"
        row = [name, *estimate_cells(found["value"], form)]
        if reference:
            row += [estimate_cells(found["reference"], form)[0], *estimate_cells(found["gap"], "+" + form)]
            row.append(f"{found['p']:.3g}")
        rows.append(row)
    header = ["", "value", "95% interval", *(["reference", "gap", "95% interval", "p"] if reference else [])]
    against = f" against {reference['name']} in {reference['dtype']}" if reference else ""
    print_table(f"{report['name']}: {report['model']['name']}{against}", header, rows)
    for section in report["sections"]:
        for found in section["tables"]:
            if not found.get("texts") or found["texts"] == [1]:
                print_line("")
                print_table(section["title"], found["header"], found["rows"])
    data = report["data"]
    print_line(f"{data['examples']} of {data['rows']} examples of {data['name']}, {report['settings']['isa']}")


def _lm_eval(model: str, reference: str | None, run: RunOptions, options: TaskOptions) -> None:
    from honed.api.evaluation.lm_eval_model import run_tasks
    from honed.evaluate.store import check_writable, write_json

    of_tasks = {"task": options.task, "robustness": options.robustness or None, "explain": options.explain or None}
    for name, value in {**of_tasks, "bias": options.bias}.items():
        if value is not None:
            raise ParameterError(name, str(value), "is not for --lm-eval, which has tasks of its own; leave it out")
    assert options.lm_eval is not None
    tasks = [name.strip() for name in options.lm_eval.split(",") if name.strip()]
    if not tasks:
        raise ParameterError("lm_eval", options.lm_eval, "must name tasks, for instance hellaswag,arc_easy")
    path = None if options.out is None else options.out / "lm-eval.json"
    if path is not None:
        check_writable(path)
    names = [model, *([] if reference is None else [reference])]
    found = {name: run_tasks(name, tasks, run, options.limit) for name in names}
    if path is not None:
        write_json(path, found)
    if options.json:
        print_json(found)
        return
    rows = []
    for task, values in found[model].items():
        for metric, value in values.items():
            error = values.get(_error_of(metric))
            if isinstance(value, float) and "_stderr" not in metric:
                cells = [f"{value:.4f}", f"{error:.4f}" if isinstance(error, float) else ""]
                rows.append([task, metric.split(",")[0], *cells, *_other(found, reference, task, metric)])
    header = ["task", "metric", "value", "standard error", *([] if reference is None else ["reference"])]
    print_table(f"{model} by lm-eval", header, rows)


def _error_of(metric: str) -> str:
    name, comma, rest = metric.partition(",")
    return f"{name}_stderr{comma}{rest}"


def _other(found: Mapping[str, Any], reference: str | None, task: str, metric: str) -> list[str]:
    if reference is None:
        return []
    value = found[reference][task].get(metric)
    return [f"{value:.4f}" if isinstance(value, float) else ""]
