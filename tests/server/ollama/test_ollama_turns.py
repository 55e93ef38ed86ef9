"""Messages of Ollama's API: calls of tools without ids, and their answers."""

from __future__ import annotations

from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server.exchange import Tool
from honed.server.ollama.turns import messages_of, tools_of


def called(*names: str) -> list[dict[str, Any]]:
    return [{"function": {"name": name, "arguments": {"a": name}}} for name in names]


def test_answers_find_their_calls() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "thinking": "hm", "tool_calls": called("look", "find")},
        {"role": "tool", "tool_name": "find", "content": "f"},
        {"role": "tool", "tool_name": "look", "content": "l"},
        {"role": "assistant", "content": "again", "tool_calls": called("look")},
        {"role": "tool", "content": "l2"},
    ]
    messages = messages_of(turns)
    assert messages[2]["content"] is None
    assert messages[2]["reasoning_content"] == "hm"
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["call_0", "call_1"]
    assert messages[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a": "look"}'}
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == [
        "call_1",
        "call_0",
        "call_2",
    ]
    assert messages[5]["content"] == "again"


def test_ids_that_are_there_are_kept() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "x", **called("look")[0]}]},
        {"role": "tool", "content": "l", "tool_call_id": "x"},
        {"role": "tool", "content": "l"},
    ]
    assert [message.get("tool_call_id") for message in messages_of(turns)] == [None, "x", "call_0"]


def test_tools() -> None:
    given = [{"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}]
    assert tools_of(given) == (Tool(name="look", description="d", parameters={"type": "object"}),)
    assert tools_of(None) == ()


@pytest.mark.parametrize(
    ("turns", "parameter"),
    [
        ([3], "messages[0]"),
        ([{"role": "boss"}], "messages[0].role"),
        ([{"role": "user", "content": []}], "messages[0].content"),
        ([{"role": "user", "content": "", "images": ["x"]}], "messages[0].images"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "messages[0].tool_calls[0].function.name"),
    ],
)
def test_what_is_refused(turns: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        messages_of(turns)
    assert found.value.parameter == parameter


@pytest.mark.parametrize(
    ("tool", "parameter"),
    [(3, "tools[0]"), ({}, "tools[0].function"), ({"function": {"name": ""}}, "tools[0].function.name")],
)
def test_tools_that_are_refused(tool: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        tools_of([tool])
    assert found.value.parameter == parameter
