from __future__ import annotations

import numpy as np
import pytest

from honed.evaluate.metrics.base import additive, counted, mean, needs_extra, ratio


def test_weights_say_how_often_an_example_counts() -> None:
    measured = mean(np.array([1.0, 0.0, 0.5]))
    assert measured.value == 0.5
    assert measured.of(np.array([[2.0, 0, 0], [0, 1, 1], [0, 0, 0]])).tolist() == [1.0, 0.25, 0.0]


def test_a_function_of_sums() -> None:
    measured = additive(np.array([[1.0, 2], [3, 4]]), lambda sums: sums[:, 0] / sums[:, 1])
    assert measured.value == pytest.approx(4 / 6)
    assert measured.n == 2


def test_ratios_counts_and_the_extra() -> None:
    assert ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]), 7.0).tolist() == [0.5, 7.0]
    assert counted([{"b": 2}, {}], ["a", "b"]).tolist() == [[0, 2], [0, 0]]
    assert "pip install 'honed[evaluate]'" in str(needs_extra("bleu", "sacrebleu"))
