from __future__ import annotations

from typing import Any

import pytest

from hash_backend import HashBackend
from honed.errors import ParameterError
from honed.runtime.engine import Engine
from honed.runtime.engine_options import EngineOptions


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_sequences", 0), ("speculation", "often"), ("max_waiting", 0), ("step_seconds", 0.0), ("step_seconds", 61)],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=field):
        EngineOptions(**{field: value})


def test_a_keyword_changes_a_field_of_the_options() -> None:
    with pytest.raises(ParameterError, match="max_sequences"):
        Engine(HashBackend(), EngineOptions(), max_sequences=0)
    engine = Engine(HashBackend(), EngineOptions(max_waiting=1), max_sequences=3)
    assert engine.statistics().waiting == 0
