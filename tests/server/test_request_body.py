"""Checks of plain values in requests, and the log of what is skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server import request_body
from honed.server.request_body import list_at, object_at, sampling_of, stops_of, text_at, warn_once


def test_a_warning_comes_once_and_there_is_an_end_of_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_warned", set())
    monkeypatch.setattr(request_body, "MOST_WARNINGS", 3)
    with caplog.at_level(logging.WARNING, "honed.server"):
        for _ in range(2):
            for number in range(5):
                warn_once(f"line {number}\n\x1b[31m")
    assert [record.getMessage() for record in caplog.records] == [f"line {n}\\n\\x1b[31m" for n in range(3)]


def test_sampling_is_refused_by_the_name_in_the_request() -> None:
    assert sampling_of([("top_k", "k", 3), ("seed", "s", None)]).chosen == {"top_k": 3}
    with pytest.raises(ParameterError, match=r"^options\.penalty = 99: must be over 0, at most 10$") as found:
        sampling_of([("repetition_penalty", "options.penalty", 99)])
    assert found.value.parameter == "options.penalty"


def test_stop_strings() -> None:
    assert stops_of("stop", None) == ()
    assert stops_of("stop", "a") == ("a",)
    assert stops_of("stop", ["a", "b"]) == ("a", "b")
    with pytest.raises(ParameterError, match="must not be empty"):
        stops_of("stop", ["a", ""])


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [(text_at, "x", 3), (object_at, {"a": 1}, []), (list_at, [1], {}), (text_at, "", None), (list_at, [], "x")],
)
def test_values_by_their_place(check: Callable[[str, Any], Any], good: Any, bad: Any) -> None:
    assert check("a[0].b", good) == good
    with pytest.raises(ParameterError) as found:
        check("a[0].b", bad)
    assert found.value.parameter == "a[0].b"
