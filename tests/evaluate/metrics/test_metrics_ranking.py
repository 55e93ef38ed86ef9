from __future__ import annotations

import random

import numpy as np
import pytest

from honed.errors import HonedError
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.ranking import ndcg, ranking_metric, reciprocal_rank


def test_random_rankings_equal_scikit_learn_equal_scores_too() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(1)
    for _ in range(150):
        n = draw.randint(2, 9)
        grades, scores = [draw.randint(0, 3) for _ in range(n)], [draw.randint(0, 4) / 4 for _ in range(n)]
        for k in (None, 1, 3, 10):
            assert ndcg(grades, scores, k) == pytest.approx(metrics.ndcg_score([grades], [scores], k=k), rel=1e-12)


def test_counted_by_hand() -> None:
    assert ndcg([0, 1], [0.9, 0.1]) == pytest.approx(1 / np.log2(3))
    assert ndcg([0, 0], [0.9, 0.1]) == 0
    assert reciprocal_rank([0, 1, 1], [0.9, 0.5, 0.1]) == 0.5
    assert reciprocal_rank([0, 1], [0.9, 0.5], k=1) == 0
    assert reciprocal_rank([0, 0], [0.9, 0.5]) == 0


def test_a_model_that_says_the_same_of_all_is_not_rewarded_for_the_order() -> None:
    assert reciprocal_rank([1, 0, 0], [0.5, 0.5, 0.5]) == pytest.approx(1 / 3)
    assert ndcg([1, 0, 0], [0.5] * 3) == ndcg([0, 0, 1], [0.5] * 3) < 1


def test_the_mean_over_queries() -> None:
    metric = ranking_metric("mrr", 10)
    assert metric.name == "mrr@10"
    assert metric.measure([[1, 0], [1, 0]], [[0.2, 0.1], [0.1, 0.2]], MetricOptions()).value == 0.75
    with pytest.raises(HonedError, match="example 1: has 2 grades and 1 scores"):
        metric.measure([[1, 0]], [[0.2]], MetricOptions())
