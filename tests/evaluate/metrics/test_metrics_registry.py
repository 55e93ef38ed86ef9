from __future__ import annotations

import pytest

from honed.errors import ParameterError
from honed.evaluate.metrics.registry import TASKS, default_metrics, find_metric


@pytest.mark.parametrize("task", TASKS)
def test_defaults_are_metrics_of_their_task(task: str) -> None:
    assert [find_metric(name, task).name for name in default_metrics(task)] == list(default_metrics(task))


def test_numbers_are_part_of_a_name() -> None:
    assert find_metric("ndcg@5", "ranking").name == "ndcg@5"
    assert find_metric("mrr", "ranking").name == "mrr"
    assert find_metric("pass@10", "code").name == "pass@10"


def test_another_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="metrics = 'f1macro': did you mean f1_macro"):
        find_metric("f1macro", "text-classification")
    with pytest.raises(ParameterError, match="those of ranking are ndcg@K, mrr@K"):
        find_metric("ndcg@0", "ranking")
