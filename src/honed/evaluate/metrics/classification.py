"""Metrics of texts that were given a class, or several: counts, curves, calibration.

Equal to scikit-learn's, which the tests hold them to; counted here because a bootstrap asks two thousand times. Not
here: averages over labels (`averages.py`), and the pictures (`evaluate/plots.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from honed.errors import HonedError, UnsupportedError, quoted
from honed.evaluate.metrics.averages import AVERAGES, PARTS, Average, LabelRow, Part, averaged, label_rows
from honed.evaluate.metrics.base import Float64, Measured, Metric, MetricOptions, additive, mean, ratio

BINS = 15
"""Of the confidence, for the calibration error (Guo et al. 2017)."""
_LEAST = 1e-15
"""Of a probability, in the logarithm."""


@dataclass(frozen=True)
class Classified:
    """What a model says of a text. labels: one, or of multi-label classification any number. scores: the probability of
    each label that the model knows; empty where it gives none."""

    labels: tuple[str, ...]
    scores: Mapping[str, float]


Truth = Sequence[tuple[str, ...]]
Found = Sequence[Classified]


def known_labels(references: Truth, predictions: Found) -> list[str]:
    """Those that are true or were predicted, in alphabetical order."""
    return sorted({*chain.from_iterable(references), *chain.from_iterable(found.labels for found in predictions)})


def label_parts(references: Truth, predictions: Found, labels: Sequence[str]) -> Float64:
    """Of each example and label whether it was predicted rightly, predicted, and true: [n, 3 * labels]."""
    true = _indicators(references, labels)
    predicted = _indicators([found.labels for found in predictions], labels)
    return np.concatenate([true * predicted, predicted, true], axis=1)


def class_report(references: Truth, predictions: Found) -> list[LabelRow]:
    """Precision, recall and F1 of each class, and their averages."""
    labels = known_labels(references, predictions)
    return label_rows(label_parts(references, predictions, labels), labels)


def confusion_matrix(references: Truth, predictions: Found) -> tuple[list[str], NDArray[np.int64]]:
    """Labels, and how often each true one (rows) was predicted as each (columns). One label an example."""
    labels = known_labels(references, predictions)
    place = {label: i for i, label in enumerate(labels)}
    found = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for true, predicted in zip(references, predictions, strict=True):
        found[place[_one(true)], place[_one(predicted.labels)]] += 1
    return labels, found


def roc_points(true: NDArray[np.bool_], scores: Float64) -> tuple[Float64, Float64]:
    """The ROC curve: false and true positive rates, from (0, 0) to (1, 1), a point for each distinct score."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positives = np.cumsum(true[order])[ends]
    negatives = ends + 1 - positives
    zero = np.zeros(1)
    return (
        np.concatenate([zero, ratio(negatives, np.array(negatives[-1], dtype=np.float64))]),
        np.concatenate([zero, ratio(positives, np.array(positives[-1], dtype=np.float64))]),
    )


def positive_scores(
    references: Truth, predictions: Found, positive: str | None
) -> tuple[str, NDArray[np.bool_], Float64] | None:
    """The positive label, where it is true, and its scores [n]; None where there are not just two labels."""
    labels = scored_labels(references, predictions)
    if len(labels) != 2 or any(len(true) != 1 for true in references):
        return None
    label = labels[-1] if positive is None else positive
    if label not in labels:
        raise HonedError(f"options.positive = {quoted(label)}: must be one of the labels, {', '.join(labels)}")
    return label, np.array([_one(true) == label for true in references]), _scores(predictions, label)


def scored_labels(references: Truth, predictions: Found) -> list[str]:
    """All labels: true, predicted or scored."""
    return sorted({*known_labels(references, predictions), *chain.from_iterable(found.scores for found in predictions)})


def calibration_bins(references: Truth, predictions: Found) -> Float64:
    """How often, how surely and how rightly, by confidence: [bins, 3] of counts, sums of confidence, right ones."""
    found: Float64 = _bin_parts(references, predictions).sum(axis=0).reshape(BINS, 3)
    return found


def _indicators(labels: Sequence[tuple[str, ...]], names: Sequence[str]) -> Float64:
    place = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(labels), len(names)))
    for row, given in zip(found, labels, strict=True):
        for label in given:
            row[place[label]] = 1.0
    return found


def _right(references: Truth, predictions: Found) -> NDArray[np.bool_]:
    return np.array([set(a) == set(b.labels) for a, b in zip(references, predictions, strict=True)], dtype=np.bool_)


def _likelihood(references: Truth, predictions: Found) -> Float64 | None:
    """The probability of what is true, where each example has one label and the model gives probabilities."""
    if any(len(true) != 1 for true in references) or not all(found.scores for found in predictions):
        return None
    return np.array([found.scores.get(true[0], 0.0) for true, found in zip(references, predictions, strict=True)])


def _accuracy(references: Truth, predictions: Found, options: MetricOptions) -> Measured:
    right = _right(references, predictions)
    found = mean(right.astype(np.float64), right)
    likelihood = _likelihood(references, predictions)
    return found if likelihood is None else Measured(found.of, found.n, likelihood, right)


def _averages(part: Part, average: Average) -> Metric:
    def measure(references: Truth, predictions: Found, options: MetricOptions) -> Measured:
        parts = label_parts(references, predictions, known_labels(references, predictions))
        return additive(parts, averaged(part, average), right=_right(references, predictions))

    return Metric(f"{part}_{average}", measure)


def _roc_auc(references: Truth, predictions: Found, options: MetricOptions) -> Measured:
    """Of the positive label where there are two; else of each label against the others, the mean (macro, one against
    the rest)."""
    two = positive_scores(references, predictions, options.positive)
    if two is not None:
        _, true, scores = two
        return Measured(_Area(true, scores), len(true))
    labels = known_labels(references, [])
    areas = [_Area(np.array([label in true for true in references]), _scores(predictions, label)) for label in labels]

    def of(weights: Float64) -> Float64:
        values: Float64 = np.mean([area(weights) for area in areas], axis=0)
        return values

    return Measured(of, len(references))


class _Area:
    """The area under the ROC curve (Mann and Whitney 1947): how often a positive example has a higher score than a
    negative one, equal scores by half. NaN where all are of one kind."""

    def __init__(self, true: NDArray[np.bool_], scores: Float64) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1]).astype(np.intp)
        self._true = true[self._order].astype(np.float64)

    def __call__(self, weights: Float64) -> Float64:
        drawn = weights[:, self._order]
        positive = np.add.reduceat(drawn * self._true, self._starts, axis=1)
        negative = np.add.reduceat(drawn * (1 - self._true), self._starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        won = (positive * (below + negative / 2)).sum(axis=1)
        return ratio(won, positive.sum(axis=1) * negative.sum(axis=1), np.nan)


def _log_loss(references: Truth, predictions: Found, options: MetricOptions) -> Measured:
    likelihood = _likelihood(references, _scored(predictions))
    if likelihood is None:
        raise UnsupportedError("log_loss is of examples with one label each; leave it out for multi-label data")
    loss = -np.log(np.clip(likelihood, _LEAST, 1.0))
    parts = np.stack([loss, np.ones(len(loss))], axis=1)
    return additive(parts, lambda sums: ratio(sums[:, 0], sums[:, 1]), each=likelihood)


def _bin_parts(references: Truth, predictions: Found) -> Float64:
    """[n, bins * 3]."""
    found = np.zeros((len(references), BINS, 3))
    for row, true, said in zip(found, references, _scored(predictions), strict=True):
        confidence = max(said.scores.values())
        # Bins hold their upper ends.
        place = min(max(int(np.ceil(confidence * BINS)) - 1, 0), BINS - 1)
        row[place] = 1.0, confidence, float(set(true) == set(said.labels))
    return found.reshape(len(references), BINS * 3)


def _calibration_error(references: Truth, predictions: Found, options: MetricOptions) -> Measured:
    """The expected calibration error: by bins of confidence, how far it is from how often it was right."""
    if any(len(true) != 1 for true in references):
        raise UnsupportedError("ece is of examples with one label each; leave it out for multi-label data")

    def value(sums: Float64) -> Float64:
        bins = sums.reshape(len(sums), BINS, 3)
        return ratio(np.abs(bins[:, :, 1] - bins[:, :, 2]).sum(axis=1), bins[:, :, 0].sum(axis=1))

    return additive(_bin_parts(references, predictions), value)


def _scores(predictions: Found, label: str) -> Float64:
    return np.array([found.scores.get(label, 0.0) for found in _scored(predictions)], dtype=np.float64)


def _scored(predictions: Found) -> Found:
    for number, found in enumerate(predictions, 1):
        if not found.scores:
            raise UnsupportedError(f"example {number}: the model gives no probabilities, which this metric is made of")
    return predictions


def _one(labels: tuple[str, ...]) -> str:
    if len(labels) != 1:
        raise UnsupportedError(f"{quoted(labels)}: one label an example is needed")
    return labels[0]


METRICS = (
    Metric("accuracy", _accuracy),
    *(_averages(part, average) for part in PARTS for average in AVERAGES),
    Metric("roc_auc", _roc_auc),
    Metric("log_loss", _log_loss, higher=False, bounded=False),
    Metric("ece", _calibration_error, higher=False),
)
