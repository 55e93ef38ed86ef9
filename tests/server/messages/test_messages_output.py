"""The state of a message: whole and streamed replies agree, as anthropic's accumulator has it."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from pydantic import TypeAdapter

from honed.server.exchange import Admitted, Delta, Quiet, ReasoningDelta, TextDelta, Usage
from honed.server.messages.output import Output
from honed.server.messages.shapes import MessageObject
from scripted_replies import answer, call, scripts

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def played(deltas: list[Delta], *, show_thinking: bool = True) -> tuple[Output, list[dict[str, Any]]]:
    output = Output("msg_1", "tiny", show_thinking=show_thinking)
    return output, [event for delta in deltas for event in output.take(delta)]


def accumulated(events: list[dict[str, Any]]) -> Any:
    """What the client's library makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] != "ping":  # the library leaves those out
            parsed = EVENTS.validate_python(event)
            snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


def test_a_text() -> None:
    output, events = played(answer(TextDelta(0, "Hi "), TextDelta(0, "you")))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert output.message["content"] == [{"type": "text", "text": "Hi you"}]
    assert (output.message["stop_reason"], output.message["stop_sequence"]) == ("end_turn", None)


def test_usage_is_told_at_both_ends() -> None:
    output, events = played(answer(TextDelta(0, "Hi"), usage=Usage(10, 4, 6, 1)))
    assert events[0]["message"]["usage"]["input_tokens"] == 10
    assert events[0]["message"]["content"] == []
    expected = {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 6,
        "output_tokens_details": {"thinking_tokens": 1},
    }
    assert events[-2]["usage"] == output.message["usage"] == expected


def test_thinking_has_a_signature() -> None:
    output, events = played(answer(ReasoningDelta(0, "hm"), TextDelta(0, "yes")))
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert kinds == ["thinking_delta", "signature_delta", "text_delta"]
    thinking = output.message["content"][0]
    assert (thinking["thinking"], bool(thinking["signature"])) == ("hm", True)
    hidden, events = played(answer(ReasoningDelta(0, "hm"), TextDelta(0, "yes")), show_thinking=False)
    assert hidden.message["content"][0] == {**thinking, "thinking": ""}
    assert accumulated(events).content[0].thinking == ""


@pytest.mark.parametrize(
    ("reason", "stop", "expected"),
    [
        ("stop", None, ("end_turn", None)),
        ("stop", "\n", ("stop_sequence", "\n")),
        ("length", None, ("max_tokens", None)),
        ("tool_calls", None, ("tool_use", None)),
    ],
)
def test_reasons(reason: Any, stop: str | None, expected: tuple[str, str | None]) -> None:
    output, events = played(answer(TextDelta(0, "x"), reason=reason, stop=stop))
    assert (output.message["stop_reason"], output.message["stop_sequence"]) == expected
    assert events[-2]["delta"] == {"stop_reason": expected[0], "stop_sequence": expected[1]}


def test_calls() -> None:
    deltas = answer(TextDelta(0, "I look."), *call(0, "look", '{"a"', ": 1}"), *call(1, "find"), reason="tool_calls")
    output, events = played(deltas)
    assert output.message["content"][1:] == [
        {"type": "tool_use", "id": f"toolu_{0:024d}", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": f"toolu_{1:024d}", "name": "find", "input": {}},
    ]
    started = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert started == ["text", "tool_use", "tool_use"]


def test_a_call_that_was_cut_has_what_is_there() -> None:
    deltas = answer(*call(0, "look", '{"a": [1, 2', '], "b": "x'), reason="length")
    output, events = played(deltas)
    assert output.message["content"][0]["input"] == {"a": [1, 2]}
    assert accumulated(events).content[0].input == {"a": [1, 2]}


def test_silence() -> None:
    output = Output("msg_1", "tiny")
    assert [event["type"] for event in output.take(Admitted(Usage(3)))] == ["message_start"]
    assert output.take(Quiet(True)) == []
    assert output.take(Quiet(False)) == [{"type": "ping"}]


@settings(deadline=None)
@given(scripts())
def test_streamed_and_whole_agree_and_clients_take_them(deltas: list[Delta]) -> None:
    output, events = played(deltas)
    whole = Message.model_validate(output.message)
    MessageObject.model_validate(output.message)
    snapshot = accumulated(events)
    assert snapshot.to_dict(exclude_unset=False) == whole.to_dict(exclude_unset=False)
    said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert "".join(block.text for block in whole.content if block.type == "text") == said
    indices = [event["index"] for event in events if event["type"] == "content_block_start"]
    assert indices == list(range(len(whole.content)))
