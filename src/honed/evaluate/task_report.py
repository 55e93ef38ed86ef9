"""What a task of evaluation says of a model, as JSON values: metrics, reports by label, curves, the worst examples.

Not here: asking models (`api/evaluation/`), and the page that is made of it (`page.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from honed.evaluate.examples import Example
from honed.evaluate.metrics import classification, sequences
from honed.evaluate.metrics.averages import rows_json
from honed.evaluate.metrics.base import Measured
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.metrics.language import Predicted
from honed.evaluate.metrics.registry import find_metric
from honed.evaluate.resample import Draws, compare_metrics
from honed.evaluate.task_file import TaskFile

WORST = 20


def measure(task: TaskFile, references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Measured]:
    """Every metric of a task. Errors: those of the metrics."""
    options = task.metric_options
    return {name: find_metric(name, task.task).measure(references, predictions, options) for name in task.metric_names}


def task_report(
    task: TaskFile, examples: Sequence[Example], ours: Sequence[Any], theirs: Sequence[Any] | None
) -> dict[str, Any]:
    """The measured part of a report. ours, theirs: predictions of the model and of the reference, one an example."""
    references = [example.reference for example in examples]
    measured = measure(task, references, ours)
    others = None if theirs is None else measure(task, references, theirs)
    results = compare_metrics(measured, others, Draws(seed=task.seed))
    report: dict[str, Any] = {"metrics": {name: result.to_json() for name, result in results.items()}}
    if task.task == "text-classification":
        _add_classes(report, task, references, ours, theirs)
    if task.task == "token-classification":
        scheme = task.options.scheme
        report["labels"] = {
            "entity": rows_json(sequences.entity_report(references, ours, scheme)),
            "tag": rows_json(sequences.tag_report(references, ours)),
        }
    report["worst"] = _worst(examples, measured, others, ours, theirs)
    return report


def finite(value: Any) -> Any:
    """JSON values, with null for what is no number: a correlation with a constant, an area of one class."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _add_classes(
    report: dict[str, Any], task: TaskFile, references: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any] | None
) -> None:
    report["labels"] = {"class": rows_json(classification.class_report(references, ours))}
    if any(len(true) != 1 for true in references):
        return  # several labels an example: there is no one confusion, and no one curve
    sides = {"model": ours} | ({} if theirs is None else {"reference": theirs})
    both = [found for side in sides.values() for found in side]
    if all(len(found.labels) == 1 for found in both):
        # Over the same labels, so that both matrices can be laid beside each other.
        known = classification.known_labels(references, both)
        report["confusion"] = {"labels": known} | {
            name: _spread(known, *classification.confusion_matrix(references, side)) for name, side in sides.items()
        }
    if not all(found.scores for found in both):
        return
    curves = {
        name: classification.positive_scores(references, side, task.options.positive) for name, side in sides.items()
    }
    if all(curve is not None for curve in curves.values()):
        report["roc"] = {}
        for name, curve in curves.items():
            assert curve is not None
            label, true, scores = curve
            if true.any() and not true.all():
                points = classification.roc_points(true, scores)
                report["roc"] |= {"positive": label, name: np.stack(points, axis=1).tolist()}
    report["calibration"] = {
        name: _calibration(classification.calibration_bins(references, side)) for name, side in sides.items()
    }


def _spread(known: Sequence[str], labels: Sequence[str], counts: Any) -> list[list[int]]:
    found = np.zeros((len(known), len(known)), dtype=np.int64)
    places = [known.index(label) for label in labels]
    found[np.ix_(places, places)] = counts
    rows: list[list[int]] = found.tolist()
    return rows


def _calibration(bins: Any) -> list[list[float]]:
    total = bins[:, 0].sum()
    return [[sure / count, right / count, count / total] for count, sure, right in bins.tolist() if count]


def _worst(
    examples: Sequence[Example],
    measured: dict[str, Measured],
    others: dict[str, Measured] | None,
    ours: Sequence[Any],
    theirs: Sequence[Any] | None,
) -> list[dict[str, Any]]:
    """Those with the lowest score by the first metric that has scores of single examples; among equal ones those where
    the reference is best come first."""
    name = next((name for name, found in measured.items() if found.each is not None), None)
    if name is None:
        return []
    scores = measured[name].each
    assert scores is not None
    against = None if others is None else others[name].each
    order = np.lexsort((np.zeros(len(scores)) if against is None else -against, scores))[:WORST]
    rows = []
    for i in order.tolist():
        row = {
            "row": examples[i].row,
            "shown": examples[i].shown,
            "right": _plain(examples[i].reference),
            "model": _plain(ours[i]),
            "score": float(scores[i]),
        }
        if theirs is not None:
            row["reference"] = _plain(theirs[i])
        rows.append(row)
    return rows


def _plain(value: Any) -> Any:
    """A reference or a prediction as JSON."""
    if isinstance(value, Classified):
        scores = ", ".join(
            f"{label} {score:.3f}" for label, score in sorted(value.scores.items(), key=lambda s: -s[1])[:4]
        )
        return ", ".join(value.labels) + (f" ({scores})" if scores else "")
    if isinstance(value, Predicted):
        return asdict(value)
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, np.generic):
        return value.item()
    return "" if value is None else value
