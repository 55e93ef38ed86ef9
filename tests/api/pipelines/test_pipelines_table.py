from __future__ import annotations

import pytest

from honed.api.pipelines.table import ALIASES, TASKS, pipeline_class, task_name
from honed.errors import ParameterError


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_class_of_its_name(task: str) -> None:
    found = pipeline_class(task)
    assert found.task == task_name(task) == task
    assert found.__call__.__doc__ and found.call.__doc__


def test_names() -> None:
    assert {task_name(alias) for alias in ALIASES} <= set(TASKS)
    with pytest.raises(ParameterError, match="did you mean token-classification"):
        task_name("token-clasification")
