"""Options of Ollama's API as fields of a call."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server import request_body
from honed.server.ollama.options import call_fields


def test_options_of_sampling() -> None:
    found = call_fields(
        {
            "temperature": 0.5,
            "top_k": 40.0,
            "top_p": 0.9,
            "min_p": 0.1,
            "seed": 3,
            "repeat_penalty": 1.1,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "num_predict": 7,
            "stop": ["a", "b"],
        }
    )
    assert found["sampling"].chosen == {
        "temperature": 0.5,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.1,
        "seed": 3,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
    }
    assert (found["max_tokens"], found["stop"]) == (7, ("a", "b"))


def test_what_leaves_it_open() -> None:
    nothing = call_fields(None)
    assert (nothing["max_tokens"], nothing["stop"], nothing["sampling"].chosen) == (None, (), {})
    open_ones: list[dict[str, Any]] = [
        {"num_predict": -1},
        {"num_predict": -2},
        {"seed": -1},
        {"stop": ""},
        {"stop": []},
    ]
    for options in (*open_ones, {"top_p": None}):
        assert call_fields(options) == nothing
    assert call_fields({"top_k": -1})["sampling"].chosen == {"top_k": 0}
    assert call_fields({"stop": "x"})["stop"] == ("x",)


def test_options_of_running_are_ignored(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_warned", set())
    quiet = {"num_gpu": 1, "num_thread": 8, "use_mmap": True, "num_keep": 5, "mirostat": 0, "tfs_z": 1.0}
    with caplog.at_level(logging.WARNING, "honed.server"):
        assert call_fields(quiet) == call_fields(None)
        assert not caplog.records
        for _ in range(2):
            assert call_fields({"num_ctx": 4096, "made_up": 1}) == call_fields(None)
    assert sorted(record.getMessage().split()[2] for record in caplog.records) == ["made_up", "num_ctx"]


def test_a_range_of_the_repetition_penalty() -> None:
    assert call_fields({"repeat_last_n": 64}) == call_fields(None)
    assert call_fields({"repeat_last_n": 0, "repeat_penalty": 1.5})["sampling"].chosen == {}
    assert call_fields({"repeat_last_n": -1, "repeat_penalty": 1.5})["sampling"].chosen == {"repetition_penalty": 1.5}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"top_k": 1.5}, "top_k"),
        ({"num_predict": 0}, "num_predict"),
        ({"num_predict": True}, "num_predict"),
        ({"num_predict": 10**20}, "num_predict"),
        ({"seed": "x"}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": 3}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"mirostat": 2}, "mirostat"),
        ({"typical_p": 0.7}, "typical_p"),
        ({"repeat_last_n": 64, "repeat_penalty": 1.1}, "repeat_last_n"),
    ],
)
def test_what_is_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError) as found:
        call_fields(options)
    assert found.value.parameter == f"options.{name}"
    assert str(found.value).startswith(f"options.{name} = ")
