from __future__ import annotations

import numpy as np
import pytest

from honed.evaluate.metrics.averages import averaged, label_rows, rows_json

# Two labels: rightly predicted, predicted, true; the second is nowhere in the second example.
PARTS = np.array([[1.0, 1, 1, 2, 2, 1], [1, 0, 2, 0, 1, 0]])


def test_averages_by_hand() -> None:
    sums = PARTS.sum(axis=0, keepdims=True)
    assert averaged("precision", "micro")(sums)[0] == pytest.approx(3 / 5)
    assert averaged("precision", "macro")(sums)[0] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert averaged("precision", "weighted")(sums)[0] == pytest.approx((2 / 3 * 3 + 1 / 2) / 4)


def test_a_label_that_a_resample_does_not_have_is_not_in_its_mean() -> None:
    assert averaged("recall", "macro")(PARTS[1:])[0] == 1


def test_rows_of_a_report() -> None:
    rows = label_rows(PARTS, ["a", "b"])
    assert [row.label for row in rows] == ["a", "b", "micro avg", "macro avg", "weighted avg"]
    assert rows[0].support == 3
    assert rows_json(rows)[1] == {
        "label": "b",
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
