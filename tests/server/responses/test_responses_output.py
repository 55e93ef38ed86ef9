"""The state of a response: whole and streamed replies agree, and openai-python's state machine takes every stream."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from honed.server.errors import Fault
from honed.server.exchange import (
    Admitted,
    Delta,
    Ended,
    Quiet,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from honed.server.responses.output import Output
from honed.server.responses.shapes import ResponseObject
from scripted_replies import answer, call, scripts

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
REPEATED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def make(*, seal: bool = False) -> Output:
    return Output("resp_ab", "tiny", 7, REPEATED, seal=seal)


def played(deltas: list[Delta]) -> tuple[Output, list[dict[str, Any]]]:
    output = make()
    return output, [event for delta in deltas for event in output.take(delta)]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text() -> None:
    output, events = played(answer(TextDelta(0, "Hi "), TextDelta(0, "you")))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["delta"] for event in events if "delta" in event] == ["Hi ", "you"]
    assert output.response["output"][0]["content"][0]["text"] == "Hi you"
    assert output.response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }


def test_begins_before_anything_is_computed() -> None:
    assert kinds(make().take(Admitted(Usage(4)))) == ["created", "in_progress"]


def test_reasoning_then_calls() -> None:
    deltas = answer(ReasoningDelta(0, "hm"), *call(0, "look", '{"a"', ": 1}"), *call(1, "find"), reason="tool_calls")
    output, events = played(deltas)
    assert kinds(events)[2:] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [item["type"] for item in output.response["output"]] == ["reasoning", "function_call", "function_call"]
    assert output.response["output"][1]["arguments"] == '{"a": 1}'


def test_a_reply_that_was_cut() -> None:
    output, events = played(answer(*call(0, "look", '{"a"'), reason="length"))
    assert kinds(events)[-1] == "incomplete"
    assert output.response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert (output.response["status"], output.response["output"][0]["status"]) == ("incomplete", "incomplete")
    assert output.response["completed_at"] is None


def test_a_reply_of_nothing_has_a_message() -> None:
    output, _ = played(answer())
    assert output.response["output"][0]["content"][0]["text"] == ""
    only_reasoning, _ = played(answer(ReasoningDelta(0, "hm"), reason="length"))
    assert [item["type"] for item in only_reasoning.response["output"]] == ["reasoning"]


def test_silence() -> None:
    output = make()
    output.take(Admitted(Usage(1)))
    assert output.take(Quiet(True)) == []
    assert kinds(output.take(Quiet(False))) == ["in_progress"]


def test_logprobs_stand_in_every_place() -> None:
    token = TokenLogprob(5, "Hi", b"Hi", -0.5, ((5, "Hi", b"Hi", -0.5), (6, "x", b"x", float("-inf"))))
    output, events = played(answer(TextDelta(0, "Hi", (token,))))
    expected = {"token": "Hi", "bytes": [72, 105], "logprob": -0.5}
    assert events[4]["logprobs"][0].items() >= expected.items()
    assert events[4]["logprobs"][0]["top_logprobs"][1]["logprob"] == -9999.0
    assert events[5]["logprobs"] == output.response["output"][0]["content"][0]["logprobs"] == events[4]["logprobs"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_prompt"), (429, "rate_limit_exceeded"), (503, "server_error"), (499, "server_error")],
)
def test_failing(status: int, code: str) -> None:
    output = make()
    output.take(Admitted(Usage(1)))
    output.take(TextDelta(0, "Hi"))
    events = output.fail(Fault(status=status, message="no more"))
    assert kinds(events) == ["failed"]
    assert events[0]["response"]["error"] == {"code": code, "message": "no more"}
    assert events[0]["response"]["status"] == "failed"
    EVENTS.validate_python(events[0])
    assert kinds(make().fail(Fault(status=500, message="x"))) == ["created", "in_progress", "failed"]


def test_sealed_where_asked() -> None:
    output = make(seal=True)
    for delta in answer(ReasoningDelta(0, "hm")):
        output.take(delta)
    assert output.response["output"][0]["encrypted_content"].startswith("honed1.")
    assert played(answer(ReasoningDelta(0, "hm")))[0].response["output"][0]["encrypted_content"] is None


@settings(deadline=None)
@given(scripts())
def test_streamed_and_whole_agree_and_clients_take_them(deltas: list[Delta]) -> None:
    output, events = played(deltas)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        for _ in state.handle_event(EVENTS.validate_python(event)):
            pass
    whole = output.response
    ResponseObject.model_validate(whole)
    parsed = Response.model_validate(whole)
    assert events[-1]["response"] == whole
    said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert parsed.output_text == said
    thought = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    kept = [item for item in whole["output"] if item["type"] == "reasoning"]
    assert "".join(item["content"][0]["text"] for item in kept) == thought
    arguments = "".join(delta.arguments for delta in deltas if isinstance(delta, ToolCallDelta))
    assert "".join(item["arguments"] for item in whole["output"] if item["type"] == "function_call") == arguments
    ended = deltas[-1]
    assert isinstance(ended, Ended)
    assert whole["status"] == ("incomplete" if ended.reason == "length" else "completed")
    if whole["status"] == "completed":
        assert state._completed_response.output_text == said
    assert len({item["id"] for item in whole["output"]}) == len(whole["output"])
