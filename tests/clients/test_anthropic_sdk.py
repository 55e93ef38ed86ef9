"""Anthropic's SDK: thinking, and what an agent sends back with the next turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from asked_models import ARGUMENTS, CONCLUSION, KEY, REPLIES, SCHEMA, THOUGHT, asked_server, said
from running_server import RunningServer

COLD: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture
def claude(server: RunningServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0, _strict_response_validation=True) as made:
        yield made


def test_thinking_is_streamed_signed_and_taken_back(claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {
        "model": "t",
        "messages": said("think"),
        "max_tokens": 2048,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole = claude.messages.create(extra_body=COLD, **asked)
    with claude.messages.stream(extra_body=COLD, **asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert "thinking" in kinds
    assert "signature" in kinds
    for message in (whole, final):
        parts: Any = message.content
        thought, text = parts
        assert (thought.type, thought.thinking, bool(thought.signature)) == ("thinking", THOUGHT, True)
        assert (text.type, text.text) == ("text", CONCLUSION)
        turns: Any = [*said("think"), {"role": "assistant", "content": message.content}, *said("think")]
        again = claude.messages.create(extra_body=COLD, **{**asked, "messages": turns})
        assert again.content[-1].type == "text"


def test_a_tool_is_run_by_the_sdk_until_the_reply_is_there(claude: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}]
    asked: dict[str, Any] = {"model": "m", "max_tokens": 500, "tools": tools, "extra_body": COLD}
    first = claude.messages.create(messages=said("call"), **asked)
    used = first.content[0]
    assert used.type == "tool_use"
    assert (used.name, used.input, first.stop_reason) == ("look", ARGUMENTS, "tool_use")
    result: Any = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": used.id, "content": [{"type": "text", "text": "a fox"}]},
            {"type": "text", "text": "hello"},
        ],
    }
    turns: Any = [*said("call"), {"role": "assistant", "content": first.content}, result]
    with claude.messages.stream(messages=turns, **asked) as stream:
        final = stream.get_final_message()
    assert [getattr(block, "text", None) for block in final.content] == [REPLIES["hello"]]
    assert (final.usage.cache_read_input_tokens or 0) > 0


def test_cache_marks_and_betas_are_borne(claude: anthropic.Anthropic) -> None:
    found = claude.beta.messages.create(
        model="m",
        max_tokens=50,
        betas=["interleaved-thinking-2025-05-14", "one-that-nobody-knows"],
        system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        messages=said("hello"),
        extra_body=COLD,
    )
    assert getattr(found.content[0], "text", None) == REPLIES["hello"]


def test_errors_are_the_sdk_s_own(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="claude", max_tokens=5, messages=said("hello"))
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="m", max_tokens=0, messages=said("hello"))
