"""What settings refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from honed.compress.training.settings import FullTraining, LowRankTraining, TrainingSettings


def test_a_method_is_found_by_its_name() -> None:
    assert TrainingSettings(steps=1).train == FullTraining()
    found = TrainingSettings.model_validate({"steps": 1, "train": {"method": "lora", "rank": 4}}).train
    assert found == LowRankTraining(method="lora", rank=4)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "give either steps or minutes"),
        ({"steps": 3, "minutes": 1.0}, "give either steps or minutes"),
        ({"steps": 3, "logits": {"distance": 0.0}}, "one of them must be learned from"),
        ({"steps": 3, "maps": {"weight": 1.0}, "checkpointing": True}, "leave one of them out"),
        ({"steps": 3, "train": {"method": "adalora", "rank": 8, "initial_rank": 4}}, "must be at least rank 8"),
        ({"steps": 3, "train": {"method": "adalora", "to_progress": 0.05}}, "must be over from_progress"),
        ({"steps": 3, "train": {"method": "prefix"}}, "does not match any of the expected tags"),
        ({"steps": 3, "optimizer": {"rate": 2.0}}, "less than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TrainingSettings.model_validate(given)
