from __future__ import annotations

from typing import Any

import pytest

from honed.checkpoints.huggingface.scoring import read_scoring
from honed.errors import UnsupportedError


@pytest.mark.parametrize(
    ("config", "labels", "classes", "ranking"),
    [
        ({}, 3, "softmax", "sigmoid"),
        ({}, 1, "sigmoid", "sigmoid"),
        ({"problem_type": None}, 2, "softmax", "sigmoid"),
        ({"problem_type": "regression"}, 1, "none", "sigmoid"),
        ({"problem_type": "multi_label_classification"}, 3, "sigmoid", "sigmoid"),
        ({"problem_type": "single_label_classification"}, 3, "softmax", "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, 1, "sigmoid", "none"),
        ({"sbert_ce_default_activation_function": "torch.nn.Sigmoid"}, 1, "sigmoid", "sigmoid"),
        ({"sentence_transformers": {"version": "5"}}, 1, "sigmoid", "sigmoid"),
    ],
)
def test_what_configs_say(config: dict[str, Any], labels: int, classes: str, ranking: str) -> None:
    found = read_scoring(config, labels)
    assert (found.classes, found.of_ranking("it")) == (classes, ranking)


def test_another_function_is_named_where_it_counts() -> None:
    found = read_scoring({"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}}, 1)
    assert found.classes == "sigmoid"
    with pytest.raises(UnsupportedError, match=r"it: its scores go through 'torch.nn.Tanh'"):
        found.of_ranking("it")
