"""Against scikit-learn where it is installed, and against values that can be counted by hand."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from honed.errors import HonedError, UnsupportedError
from honed.evaluate.metrics.averages import AVERAGES, PARTS
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.classification import (
    BINS,
    METRICS,
    Classified,
    calibration_bins,
    class_report,
    confusion_matrix,
    roc_points,
)

BY_NAME = {metric.name: metric for metric in METRICS}
Data = tuple[list[tuple[str, ...]], list[Classified]]


def single(seed: int, labels: str, n: int = 60) -> Data:
    """One label an example, probabilities of few distinct values so that some are equal."""
    draw = random.Random(seed)
    true: list[tuple[str, ...]] = [(draw.choice(labels),) for _ in range(n)]
    found = []
    for _ in range(n):
        raw = [draw.randint(1, 5) for _ in labels]
        scores = {label: value / sum(raw) for label, value in zip(labels, raw, strict=True)}
        found.append(Classified((max(scores, key=lambda label: scores[label]),), scores))
    return true, found


def multi(seed: int, labels: str = "abcd", n: int = 60) -> Data:
    draw = random.Random(seed)

    def some() -> tuple[str, ...]:
        return tuple(label for label in labels if draw.random() < 0.4)

    return [some() for _ in range(n)], [Classified(some(), {}) for _ in range(n)]


def value(name: str, data: Data, options: MetricOptions | None = None) -> float:
    return BY_NAME[name].measure(*data, options or MetricOptions()).value


def flat(data: Data) -> tuple[list[str], list[str]]:
    return [true[0] for true in data[0]], [found.labels[0] for found in data[1]]


@pytest.fixture(scope="module")
def sklearn() -> Any:
    return pytest.importorskip("sklearn.metrics")


def test_a_thousand_random_sets_equal_scikit_learn(sklearn: Any) -> None:
    for seed in range(1000):
        data = single(seed, "abcdef"[: 2 + seed % 5], n=12)
        average = AVERAGES[seed % 3]
        theirs = sklearn.precision_recall_fscore_support(*flat(data), average=average, zero_division=0)
        for part, expected in zip(PARTS, theirs, strict=False):
            assert value(f"{part}_{average}", data) == pytest.approx(expected, rel=1e-14)


def test_reports_and_confusion_equal_scikit_learn(sklearn: Any) -> None:
    for seed in range(60):
        data = single(seed, "abcdef"[: 2 + seed % 5], n=12)
        true, found = flat(data)
        assert value("accuracy", data) == sklearn.accuracy_score(true, found)
        rows = {row.label: row for row in class_report(*data)}
        labels, matrix = confusion_matrix(*data)
        assert (matrix == sklearn.confusion_matrix(true, found, labels=labels)).all()
        per_class = sklearn.precision_recall_fscore_support(true, found, labels=labels, zero_division=0)
        for i, label in enumerate(labels):
            row = rows[label]
            assert (row.precision, row.recall, row.f1) == pytest.approx([column[i] for column in per_class[:3]])
            assert row.support == per_class[3][i]
        theirs = sklearn.f1_score(true, found, average="macro", zero_division=0)
        assert rows["macro avg"].f1 == pytest.approx(theirs, rel=1e-14)


def test_areas_equal_scikit_learn_with_equal_scores_and_weights(sklearn: Any) -> None:
    for seed in range(100):
        data = single(seed, "no"[:2])
        true = np.array([label == ("o",) for label in data[0]])
        scores = np.array([found.scores["o"] for found in data[1]])
        measured = BY_NAME["roc_auc"].measure(*data, MetricOptions())
        assert measured.value == pytest.approx(sklearn.roc_auc_score(true, scores), rel=1e-14)
        drawn = np.random.default_rng(seed).integers(0, 4, size=(3, len(true))).astype(float)
        for row, found in zip(drawn, measured.of(drawn), strict=True):
            assert found == pytest.approx(sklearn.roc_auc_score(true, scores, sample_weight=row), rel=1e-12)
        other = BY_NAME["roc_auc"].measure(*data, MetricOptions(positive="n")).value
        assert other == pytest.approx(measured.value, rel=1e-12), "of two labels both have the same area"
        rates = roc_points(true, scores)
        theirs = sklearn.roc_curve(true, scores, drop_intermediate=False)
        np.testing.assert_allclose(rates[0], theirs[0])
        np.testing.assert_allclose(rates[1], theirs[1])


def test_one_against_the_rest_equals_scikit_learn(sklearn: Any) -> None:
    for seed in range(30):
        data = single(seed, "abc")
        scores = np.array([[found.scores[label] for label in "abc"] for found in data[1]])
        theirs = sklearn.roc_auc_score([t[0] for t in data[0]], scores, multi_class="ovr", average="macro")
        assert value("roc_auc", data) == pytest.approx(theirs, rel=1e-13)
        assert value("log_loss", data) == pytest.approx(sklearn.log_loss([t[0] for t in data[0]], scores), rel=1e-12)


def test_many_labels_equal_scikit_learn(sklearn: Any) -> None:
    for seed in range(50):
        data = multi(seed)
        true, found = (
            np.array([[label in labels for label in "abcd"] for labels in side])
            for side in (data[0], [found.labels for found in data[1]])
        )
        assert value("accuracy", data) == sklearn.accuracy_score(true, found)
        for average in AVERAGES:
            theirs = sklearn.f1_score(true, found, average=average, zero_division=0)
            assert value(f"f1_{average}", data) == pytest.approx(theirs, rel=1e-14)


def test_counted_by_hand() -> None:
    truth: list[tuple[str, ...]] = [("a",), ("a",), ("b",), ("b",)]
    found = [Classified((label,), {}) for label in "aaba"]
    assert value("accuracy", (truth, found)) == 0.75
    assert value("precision_macro", (truth, found)) == pytest.approx((2 / 3 + 1) / 2)
    assert value("recall_macro", (truth, found)) == pytest.approx((1 + 0.5) / 2)
    assert confusion_matrix(truth, found)[1].tolist() == [[2, 0], [1, 1]]


def test_calibration_of_a_model_that_is_surer_than_right() -> None:
    truth: list[tuple[str, ...]] = [("a",), ("b",), ("b",), ("b",)]
    found = [Classified(("a",), {"a": 0.9, "b": 0.1})] * 4
    assert value("ece", (truth, found)) == pytest.approx(0.9 - 0.25)
    bins = calibration_bins(truth, found)
    assert bins.shape == (BINS, 3)
    assert bins[13].tolist() == pytest.approx([4, 3.6, 1])


def test_what_is_missing_is_said() -> None:
    data: Data = ([("a",)], [Classified(("a",), {})])
    for name in ("roc_auc", "log_loss", "ece"):
        with pytest.raises(UnsupportedError, match="example 1: the model gives no probabilities"):
            value(name, data)
    with pytest.raises(HonedError, match=r"options\.positive = 'c': must be one of the labels, a, b"):
        value("roc_auc", single(1, "ab"), MetricOptions(positive="c"))
    with pytest.raises(UnsupportedError, match="one label an example"):
        confusion_matrix([("a", "b")], [Classified(("a",), {})])


def test_an_area_of_one_kind_of_examples_is_no_number() -> None:
    measured = BY_NAME["roc_auc"].measure(*single(1, "ab"), MetricOptions())
    only = np.array([[float(true == ("a",)) for true in single(1, "ab")[0]]])
    assert np.isnan(measured.of(only)).all()
