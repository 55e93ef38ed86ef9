"""Requests as coding agents send them, of those that speak Responses only and of those that speak Messages only: their
fields, headers and tools, turn after turn. Written after what such agents are
known to send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asked_models import ARGUMENTS, KEY, REPLIES, SCHEMA, asked_server, said
from honed.server import request_body
from running_server import RunningServer

SYSTEM = "You are a coding agent in a terminal. Read before you write. " * 12
PERMISSIONS = "<permissions>\nNothing may be written outside of the working directory.\n</permissions>"
ENVIRONMENT = "<environment_context>\n  <cwd>/home/user/project</cwd>\n  <shell>bash</shell>\n</environment_context>"
LOOK: dict[str, Any] = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "strict": False,
    "parameters": SCHEMA,
}
PLAN: dict[str, Any] = {
    "type": "function",
    "name": "update_plan",
    "description": "Keeps a plan.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {
            "plan": {"type": "array", "items": {"type": "object", "properties": {"step": {"type": "string"}}}}
        },
        "required": ["plan"],
        "additionalProperties": False,
    },
}
OTHERS: list[dict[str, Any]] = [
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
    },
    {"type": "web_search", "external_web_access": False},
    {"type": "local_shell"},
]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def frames(http: httpx.Client, path: str, headers: dict[str, str], body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, each with its name before its data."""
    with http.stream("POST", path, headers=headers, json=body) as reply:
        text = reply.read().decode()
        assert reply.status_code == 200, text
    found = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        if frame.startswith(":"):
            continue
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def responses(http: httpx.Client, given: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events and the final response of one turn of an agent that speaks Responses."""
    headers = {
        "authorization": f"Bearer {KEY}",
        "accept": "text/event-stream",
        "openai-beta": "responses=experimental",
        "originator": "agent_cli",
        "session_id": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "user-agent": "agent_cli/0.50.0 (Debian 12; x86_64) xterm",
    }
    body = {
        "model": "m",
        "instructions": SYSTEM,
        "input": given,
        "tools": [LOOK, PLAN, *OTHERS],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "text": {"verbosity": "medium"},
        "client_metadata": {"installation": "x"},
        "temperature": 0,
    }
    events = frames(http, "/v1/responses", headers, body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    return events, events[-1]["response"]


def part(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is skipped is told once a process, and other tests are in this one."""
    monkeypatch.setattr(request_body, "_warned", set())


def test_an_agent_that_speaks_responses(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    given: list[Any] = [part("developer", PERMISSIONS), part("user", ENVIRONMENT), part("user", "call")]
    with caplog.at_level("WARNING", "honed.server"):
        events, first = responses(http, given)
    told = " ".join(record.getMessage() for record in caplog.records)
    assert all(tool["type"] in told for tool in OTHERS)
    assert [tool["name"] for tool in first["tools"]] == ["look", "update_plan"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == first["output"]
    (call,) = done
    assert (call["type"], call["name"], json.loads(call["arguments"])) == ("function_call", "look", ARGUMENTS)
    # Nothing is kept here: the next turn brings it all back, and what a skipped tool would have said.
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"output":"a fox"}'}
    given += [{"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": None}]
    given += [{key: value for key, value in call.items() if key != "status"}, output, part("user", "hello")]
    _, second = responses(http, given)
    assert second["output"][0]["content"][0]["text"] == REPLIES["hello"]
    details = second["usage"]["input_tokens_details"]
    assert details["cached_tokens"] >= first["usage"]["input_tokens"] // 2
    assert second["usage"]["input_tokens"] > details["cached_tokens"]


def messages(http: httpx.Client, turn: int, turns: list[Any], model: str = "m") -> dict[str, Any]:
    """The message that the events of one turn of an agent that speaks Messages come to."""
    headers = {
        "x-api-key": KEY,
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "agent-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
        "anthropic-dangerous-direct-browser-access": "true",
        "user-agent": "agent-cli/2.0.0 (external, cli)",
        "x-app": "cli",
        "x-stainless-lang": "js",
        "x-stainless-retry-count": "0",
    }
    mark = {"cache_control": {"type": "ephemeral"}}
    body = {
        "model": model,
        "max_tokens": 500,
        "stream": True,
        "temperature": 0,
        "metadata": {"user_id": "user_1_account__session_2"},
        "system": [
            {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.0.0; cch={turn:05x};"},
            {"type": "text", "text": SYSTEM, **mark},
            {"type": "text", "text": ENVIRONMENT, **mark},
        ],
        "tools": [
            {
                "name": "look",
                "description": "Looks.",
                "input_schema": {**SCHEMA, "$schema": "http://json-schema.org/draft-07/schema#"},
            },
            {"name": "plan", "description": "Plans.", "input_schema": PLAN["parameters"], **mark},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        "messages": turns,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }
    events = frames(http, "/v1/messages?beta=true", headers, body)
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    message: dict[str, Any] = events[0]["message"]
    assert message["usage"]["input_tokens"] + message["usage"].get("cache_read_input_tokens", 0) > 0
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(dict(event["content_block"]))
                if event["content_block"]["type"] == "tool_use":
                    message["content"][-1]["input"] = ""
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                if delta["type"] == "text_delta":
                    block["text"] += delta["text"]
                elif delta["type"] == "input_json_delta":
                    block["input"] += delta["partial_json"]
            case "message_delta":
                message |= {"usage": event["usage"], **event["delta"]}
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"])
    return message


def test_an_agent_that_speaks_messages(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    reminder = {"type": "text", "text": "<system-reminder>\nNothing is open.\n</system-reminder>"}
    turns: list[Any] = [{"role": "user", "content": "call"}]
    with caplog.at_level("WARNING", "honed.server"):
        first = messages(http, 1, turns)
    assert "web_search_20250305" in " ".join(record.getMessage() for record in caplog.records)
    (used,) = first["content"]
    assert (used["type"], used["name"], used["input"]) == ("tool_use", "look", ARGUMENTS)
    assert first["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": used["id"], "content": "a fox", "is_error": False}
    turns += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [result, reminder]},
        {"role": "assistant", "content": [{"type": "text", "text": "There it is."}]},
        {"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]},
    ]
    second = messages(http, 2, turns)
    assert [block["text"] for block in second["content"]] == [REPLIES["hello"]]
    assert second["stop_reason"] == "end_turn"
    # The header that differs from turn to turn is not in the prompt.
    usage = second["usage"]
    whole = first["usage"]["input_tokens"] + first["usage"].get("cache_read_input_tokens", 0)
    assert usage["cache_read_input_tokens"] >= whole // 2
    assert usage["input_tokens"] > 0


def test_what_agents_ask_before_and_beside_it(http: httpx.Client) -> None:
    assert http.head("/").status_code == 200
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    counted = http.post(
        "/v1/messages/count_tokens?beta=true", headers=headers, json={"model": "m", "messages": said("hello")}
    )
    assert counted.json()["input_tokens"] > 0
    probe = {"model": "m", "max_tokens": 1, "messages": said("quota"), "metadata": {"user_id": "x"}}
    asked = http.post("/v1/messages?beta=true", headers=headers, json=probe)
    assert (asked.status_code, asked.json()["stop_reason"]) == (200, "max_tokens")
    models = http.get("/v1/models?client_version=0.50.0", headers={"authorization": f"Bearer {KEY}"}).json()
    assert [model["id"] for model in models["data"]] == ["m", "t", "e"]
