"""Against seqeval and scikit-learn where they are installed, and against sequences read by hand."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest

from honed.errors import HonedError, ParameterError
from honed.evaluate.metrics.averages import AVERAGES, PARTS
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.sequences import METRICS, Entity, entities, entity_report, tag_report

BY_NAME = {metric.name: metric for metric in METRICS}
PREFIXES = {"iob2": "BI", "bioes": "BIES"}


def sequences(seed: int, scheme: str, texts: int = 4) -> tuple[list[list[str]], list[list[str]]]:
    """Random tags, most of them malformed as sequences."""
    draw = random.Random(seed)
    tags = ["O", "O", *(f"{prefix}-{kind}" for prefix in PREFIXES[scheme] for kind in ("PER", "LOC", "A-B"))]
    lengths = [draw.randint(0, 9) + (i == 0) for i in range(texts)]
    true = [[draw.choice(tags) for _ in range(length)] for length in lengths]
    found = [[tag if draw.random() < 0.6 else draw.choice(tags) for tag in row] for row in true]
    return true, found


@pytest.fixture(scope="module")
def seqeval() -> Any:
    return pytest.importorskip("seqeval.metrics")


@pytest.mark.parametrize("scheme", ["iob2", "bioes"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_thousand_random_sequences_equal_seqeval(seqeval: Any, scheme: str, strict: bool) -> None:
    import seqeval.metrics.sequence_labeling as lenient
    import seqeval.metrics.v1 as strictly
    import seqeval.scheme as schemes

    reader = {"iob2": schemes.IOB2, "bioes": schemes.IOBES}[scheme]
    options = MetricOptions(scheme=scheme if strict else None)
    for seed in range(1000):
        true, found = sequences(seed, scheme)
        average = AVERAGES[seed % 3]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if strict:
                    theirs = strictly.precision_recall_fscore_support(true, found, average=average, scheme=reader)
                else:
                    theirs = lenient.precision_recall_fscore_support(true, found, average=average)
            except ZeroDivisionError:  # no entity on either side
                theirs = (0.0, 0.0, 0.0, 0)
        for part, expected in zip(PARTS, theirs, strict=False):
            ours = BY_NAME[f"entity_{part}_{average}"].measure(true, found, options).value
            # Without any entity numpy's average of nothing is NaN.
            assert ours == pytest.approx(np.nan_to_num(expected), rel=1e-14), (seed, average, part)


def test_the_report_of_types_equals_seqeval(seqeval: Any) -> None:
    true, found = sequences(7, "iob2", texts=40)
    theirs = seqeval.classification_report(true, found, output_dict=True)
    rows = {row.label: row for row in entity_report(true, found)}
    assert set(rows) == set(theirs)
    for label, row in rows.items():
        assert row.precision == pytest.approx(theirs[label]["precision"], rel=1e-14)
        assert row.recall == pytest.approx(theirs[label]["recall"], rel=1e-14)
        assert row.f1 == pytest.approx(theirs[label]["f1-score"], rel=1e-14)
        assert row.support == theirs[label]["support"]


def test_tags_equal_scikit_learn_with_outside_among_them() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for seed in range(60):
        true, found = sequences(seed, "iob2")
        flat = [tag for row in true for tag in row], [tag for row in found for tag in row]
        theirs = metrics.classification_report(*flat, output_dict=True, zero_division=0)
        for row in tag_report(true, found):
            if row.label == "micro avg":
                assert row.f1 == pytest.approx(metrics.accuracy_score(*flat), rel=1e-14)
                continue
            assert row.f1 == pytest.approx(theirs[row.label]["f1-score"], rel=1e-14)
            assert row.support == theirs[row.label]["support"]
        for average in AVERAGES:
            expected = metrics.f1_score(*flat, average=average, zero_division=0)
            ours = BY_NAME[f"tag_f1_{average}"].measure(true, found, MetricOptions()).value
            assert ours == pytest.approx(expected, rel=1e-14)


def test_sequences_read_by_hand() -> None:
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-PER", "B-PER", "B-PER"]
    kept = [Entity("PER", 0, 2), Entity("PER", 5, 6), Entity("PER", 6, 7)]
    assert entities(tags, "iob2") == kept
    assert entities(tags) == sorted([*kept, Entity("LOC", 3, 4), Entity("PER", 4, 5)], key=lambda e: e.start)
    assert entities(["B-X", "E-X", "S-Y", "B-X", "I-X", "O", "B-X"], "bioes") == [Entity("X", 0, 2), Entity("Y", 2, 3)]
    assert entities([]) == []


def test_a_sentence_is_right_or_has_a_score() -> None:
    true = [["B-A", "O"], ["O", "O"], ["B-A", "B-B"]]
    found = [["B-A", "O"], ["O", "O"], ["B-A", "O"]]
    measured = BY_NAME["entity_f1_micro"].measure(true, found, MetricOptions())
    assert measured.right is not None and measured.each is not None
    assert measured.right.tolist() == [True, True, False]
    assert measured.each.tolist() == pytest.approx([1, 1, 2 / 3])
    assert measured.value == pytest.approx(4 / 5)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(HonedError, match="example 2: has 1 tags and 2 predicted ones"):
        entity_report([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ParameterError, match="scheme = 'iob': did you mean iob2"):
        entities(["O"], "iob")
