"""Items of a response's input: which messages they become, and which are refused by their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.server.responses.items import messages_of, sealed


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_a_text_with_instructions() -> None:
    assert messages_of("hi", None) == [user("hi")]
    assert messages_of("hi", "be kind") == [{"role": "system", "content": "be kind"}, user("hi")]
    assert messages_of("", None) == [user("")]


def test_messages_of_every_role_and_content() -> None:
    items: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "input_text", "text": "one"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": x} for x in "ab"]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "yes", "annotations": []}], "id": "msg_1"},
        {"role": "user", "content": "on"},
    ]
    assert messages_of(items, None) == [
        {"role": "system", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "yes"},
        user("on"),
    ]


def test_a_turn_of_the_model_is_one_message() -> None:
    """As a coding agent sends back what it got: reasoning, text and two calls, then their results."""
    items: list[dict[str, Any]] = [
        user("list"),
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "ls", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_2", "name": "cat", "arguments": '{"f": 1}', "id": "fc_2"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "text"}]},
        {"type": "function_call", "call_id": "call_3", "name": "ls", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_3", "output": {"content": "done", "success": True}},
    ]
    messages = messages_of(items, None)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    turn = messages[1]
    assert (turn["content"], turn["reasoning_content"]) == ("I look.", "hm")
    assert [call["id"] for call in turn["tool_calls"]] == ["call_1", "call_2"]
    assert turn["tool_calls"][1]["function"] == {"name": "cat", "arguments": '{"f": 1}'}
    assert messages[2] == {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"}
    assert messages[4]["content"] is None
    assert messages[5]["content"] == "done"


def test_calls_of_tools_that_are_no_functions() -> None:
    items: list[dict[str, Any]] = [
        {"type": "local_shell_call", "id": "lsh_1", "action": {"type": "exec", "command": ["ls"]}, "status": "x"},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "a"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        user("go on"),
    ]
    messages = messages_of(items, None)
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant", "tool", "user"]
    shell = messages[0]["tool_calls"][0]
    assert (shell["id"], shell["function"]["name"]) == ("lsh_1", "local_shell")
    assert json.loads(shell["function"]["arguments"])["command"] == ["ls"]
    assert json.loads(messages[2]["tool_calls"][0]["function"]["arguments"]) == {"input": "*** Begin"}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_sealed_reasoning_comes_back(text: str) -> None:
    items = [user("q"), {"type": "reasoning", "summary": [], "encrypted_content": sealed(text)}, user("on")]
    assert messages_of(items, None)[1] == {"role": "assistant", "content": None, "reasoning_content": text}


def test_reasoning_of_others_is_left_out() -> None:
    items = [user("q"), {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAB"}, user("on")]
    assert messages_of(items, None) == [user("q"), user("on")]
    summarized = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "short"}]}
    assert messages_of([user("q"), summarized], None)[1]["reasoning_content"] == "short"


@pytest.mark.parametrize(
    ("items", "parameter"),
    [
        ([], "input"),
        (None, "input"),
        ([3], "input[0]"),
        ([{"role": "boss", "content": "x"}], "input[0].role"),
        ([user("a"), {"role": "user", "content": 3}], "input[1].content"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"type": "item_reference", "id": "x"}], "input[0].type"),
        ([{"type": "computer_call_output", "call_id": "x", "output": {}}], "input[0].type"),
        ([{"type": "function_call", "name": "x", "arguments": "{}"}], "input[0].call_id"),
        ([{"type": "function_call", "call_id": "x", "name": "x", "arguments": {}}], "input[0].arguments"),
        ([{"type": "function_call_output", "call_id": "x", "output": 3}], "input[0].output"),
        ([{"type": "reasoning", "encrypted_content": "honed1.*"}], "input[0].encrypted_content"),
        ([{"type": ["x"]}], "input[0].type"),
    ],
)
def test_what_is_refused(items: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        messages_of(items, None)
    assert found.value.parameter == parameter
