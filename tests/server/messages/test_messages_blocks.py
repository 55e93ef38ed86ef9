"""Turns of a conversation with blocks: which messages they become, and which are refused by their place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from honed.errors import ParameterError
from honed.server.messages.blocks import messages_of


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def test_texts_and_blocks() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [text("hello"), text(" you")]},
        {"role": "user", "content": [text("a", cache_control={"type": "ephemeral"}), text("b")]},
    ]
    assert messages_of(turns, "be kind") == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello you"},
        {"role": "user", "content": [text("a"), text("b")]},
    ]


def test_the_billing_header_is_dropped() -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    header = text("x-anthropic-billing-header: cc_version=2.1.37; cch=00000")
    system = [header, text("You are an agent.", cache_control={"type": "ephemeral"}), text("Be brief.")]
    assert messages_of(turns, system)[0]["content"] == [text("You are an agent."), text("Be brief.")]
    assert messages_of(turns, [header, text("One.")])[0] == {"role": "system", "content": "One."}
    assert messages_of(turns, [header]) == messages_of(turns, None)
    assert messages_of(turns, header["text"]) == messages_of(turns, None)


def test_a_turn_of_tools() -> None:
    """As a coding agent sends back what it got, with results in the turn of the user."""
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                text("I look."),
                {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {"d": "é"}},
                {"type": "tool_use", "id": "toolu_2", "name": "cat", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": [text("no")], "is_error": True},
                {"type": "tool_result", "tool_use_id": "toolu_3"},
                text("<system-reminder>"),
            ],
        },
        {"role": "user", "content": "go on"},
    ]
    messages = messages_of(turns, None)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "tool", "user"]
    turn = messages[1]
    assert (turn["content"], turn["reasoning_content"]) == ("I look.", "hm")
    assert json.loads(turn["tool_calls"][0]["function"]["arguments"]) == {"d": "é"}
    assert [message["content"] for message in messages[2:5]] == ["a.txt", "Error: no", ""]
    assert messages[5]["content"] == [text("<system-reminder>"), text("go on")]


def test_an_error_that_says_so_is_left_as_it_is() -> None:
    for told in ("Error: no such file", "<tool_use_error>x</tool_use_error>", " error"):
        block = {"type": "tool_result", "tool_use_id": "t", "content": told, "is_error": True}
        assert messages_of([{"role": "user", "content": [block]}], None)[0]["content"] == told
    empty = {"type": "tool_result", "tool_use_id": "t", "is_error": True}
    assert messages_of([{"role": "user", "content": [empty]}], None)[0]["content"] == "Error"


def test_a_call_alone_has_no_text() -> None:
    call = {"type": "tool_use", "id": "t", "name": "ls", "input": {}}
    assert messages_of([{"role": "assistant", "content": [call]}], None)[0]["content"] is None


def test_turns_of_the_model_behind_each_other_are_one() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "one "},
        {"role": "assistant", "content": [text("two"), {"type": "redacted_thinking", "data": "x"}]},
    ]
    assert messages_of(turns, None)[1:] == [{"role": "assistant", "content": "one two"}]


def test_documents_of_text() -> None:
    document = {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "D"}}
    found = {"type": "search_result", "title": "S", "source": "http://x", "content": [text("c")]}
    content = messages_of([{"role": "user", "content": [document, found]}], None)[0]["content"]
    assert content == [text("T\nD"), text("S\nhttp://x\nc")]


def test_system_turns_within() -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "q"}, {"role": "system", "content": "now"}]
    assert messages_of(turns, None)[1] == {"role": "system", "content": "now"}


@pytest.mark.parametrize(
    ("turns", "parameter"),
    [
        ([3], "messages[0]"),
        ([{"role": "boss", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image", "source": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "tool_result"}]}], "messages[0].content[0].tool_use_id"),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}],
                }
            ],
            "messages[0].content[0].content[0].type",
        ),
        ([{"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}], "messages[0].content[0].name"),
        (
            [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": "x"}]}],
            "messages[0].content[0].input",
        ),
        (
            [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}],
            "messages[0].content[0].type",
        ),
    ],
)
def test_what_is_refused(turns: Any, parameter: str) -> None:
    with pytest.raises(ParameterError) as found:
        messages_of(turns, None)
    assert found.value.parameter == parameter


def test_the_system_is_refused_by_its_place() -> None:
    with pytest.raises(ParameterError) as found:
        messages_of([{"role": "user", "content": "x"}], [{"type": "image"}])
    assert found.value.parameter == "system[0].type"
