"""Precision, recall and F1 from counts of labels, and their averages, for classes, tags and entities alike.

Counts are three an label: predicted rightly, predicted, and there in truth. A ratio without a denominator is 0. Not
here: how labels are counted (`classification.py`, `sequences.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from honed.evaluate.metrics.base import Float64, ratio

Average = Literal["micro", "macro", "weighted"]
Part = Literal["precision", "recall", "f1"]
AVERAGES: tuple[Average, ...] = ("micro", "macro", "weighted")
PARTS: tuple[Part, ...] = ("precision", "recall", "f1")


@dataclass(frozen=True)
class LabelRow:
    """A row of a report. support: how often the label is there in truth."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def averaged(part: Part, average: Average) -> Callable[[Float64], Float64]:
    """A function of sums [resamples, 3 * labels] (right, predicted, true) to values [resamples].

    micro: of all labels together. macro: the mean over labels that are predicted or true. weighted: the mean, weighted
    by how often each is true.
    """

    def value(sums: Float64) -> Float64:
        right, predicted, true = np.split(sums, 3, axis=1)
        if average == "micro":
            return _part(part, right.sum(axis=1), predicted.sum(axis=1), true.sum(axis=1))
        scores = _part(part, right, predicted, true)
        weights = true if average == "weighted" else ((predicted + true) > 0).astype(np.float64)
        # In the order in which numpy's own average does it: the same last digit.
        return ratio((scores * weights).sum(axis=1), weights.sum(axis=1))

    return value


def label_rows(parts: Float64, labels: Sequence[str]) -> list[LabelRow]:
    """The report: a row for each label, then the three averages. parts: [n, 3 * labels], as of `averaged`."""
    sums = parts.sum(axis=0, keepdims=True)
    right, predicted, true = np.split(sums[0], 3)
    precision, recall, f1 = (_part(part, right, predicted, true) for part in PARTS)
    rows = [
        LabelRow(label, float(precision[i]), float(recall[i]), float(f1[i]), int(true[i]))
        for i, label in enumerate(labels)
    ]
    for average in AVERAGES:
        first, second, third = (float(averaged(part, average)(sums)[0]) for part in PARTS)
        rows.append(LabelRow(f"{average} avg", first, second, third, int(true.sum())))
    return rows


def rows_json(rows: Sequence[LabelRow]) -> list[dict[str, Any]]:
    """As a report writes them."""
    return [asdict(row) for row in rows]


def _part(part: Part, right: Float64, predicted: Float64, true: Float64) -> Float64:
    if part == "precision":
        return ratio(right, predicted)
    if part == "recall":
        return ratio(right, true)
    return ratio(2 * right, predicted + true)
