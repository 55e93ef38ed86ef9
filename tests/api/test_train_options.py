"""What may be asked of a training, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from honed.api.train_options import RATES, TrainOptions, as_method, as_task, check_options, settings_of
from honed.errors import ParameterError


@pytest.mark.parametrize(
    ("task", "change", "teacher", "message"),
    [
        ("summarization", {}, None, "task = 'summarization': must be one of text-classification"),
        ("text-classification", {"method": "adapter"}, None, "train = 'adapter': must be one of head, lora, full"),
        ("text-generation", {"method": "head"}, None, "must be lora or full"),
        ("text-generation", {}, "big", "teacher = 'big': is for labels"),
        ("text-generation", {"pair": "b"}, None, "pair = 'b': is for labels"),
        ("text-classification", {"max_tokens": 3}, None, "max_tokens = 3: must be at least 4"),
        ("text-classification", {"label_names": ["a", "a"]}, None, "must be two or more, all different"),
    ],
)
def test_what_does_not_go_together(task: Any, change: dict[str, Any], teacher: str | None, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_options(task, replace(TrainOptions(), **change), teacher=teacher)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"epochs": 0.0}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"rate": 2.0}, "rate"),
        ({"rank": 0, "method": "lora"}, "rank"),
        ({"patience": -1}, "patience"),
        ({"seed": -1}, "seed"),
        ({"teacher_share": 1.5}, "teacher_share"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_numbers_out_of_range_are_named(change: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError, match=f"{name} = "):
        settings_of(replace(TrainOptions(), **change))


def test_settings() -> None:
    found = settings_of(TrainOptions(method="lora", rank=4, patience=0))
    assert found.optimizer.rate == RATES["lora"]
    assert found.patience is None
    assert found.train.model_dump() == {"method": "lora", "weights": "*", "rank": 4, "alpha": 4.0}


def test_names() -> None:
    assert (as_task("text-generation"), as_method("head")) == ("text-generation", "head")
