"""Tool calls, grammars and reasoning over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from running_server import RunningServer
from scripted_model import TOOLS, scripted_model
from turn_tokenizers import CHATML

WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>'
CLOCK = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
REPLIES = {
    "weather": WEATHER,
    "both": f"{WEATHER}\n{CLOCK}",
    "talk": "The fox jumps.",
    "json": '{"name": "fox", "age": 3}',
    "think": "<think>\nThe fox is quick.\n</think>\n\nIt jumps.",
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": "x", "parameters": parameters}}


ALL_TOOLS: Any = [tool("weather", city={"type": "string"}, days={"type": "integer"}), tool("clock")]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    template = TOOLS + CHATML
    with RunningServer(
        {
            "tools": lambda: scripted_model(REPLIES, template=template)[0],
            "plain": lambda: scripted_model(REPLIES)[0],
            "thinks": lambda: scripted_model(REPLIES, template=CHATML + "{# <think></think> #}")[0],
        }
    ) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="unused-key", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def called(call: Any) -> Any:
    """The function of a tool call, in plain values."""
    return call.to_dict()["function"]


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", ["tools", "plain"])
def test_tool_calls_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": said("both"), "tools": ALL_TOOLS, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    choice = whole.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    calls = [called(call) for call in choice.message.tool_calls]
    assert [call["name"] for call in calls] == ["weather", "clock"]
    assert json.loads(calls[0]["arguments"]) == {"city": "Paris", "days": 3}
    found: dict[int, dict[str, str]] = {}
    finish = None
    for chunk in client.chat.completions.create(**asked, stream=True):
        finish = chunk.choices[0].finish_reason or finish
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            if call.index not in found:
                assert call.id is not None
                assert call.type == "function"
                assert call.function.name is not None
                found[call.index] = {"name": call.function.name, "arguments": ""}
            else:
                assert call.id is None
                assert call.function.name is None
            found[call.index]["arguments"] += call.function.arguments or ""
    assert finish == "tool_calls"
    assert list(found) == [0, 1]
    assert [found[index]["name"] for index in found] == ["weather", "clock"]
    assert found[0]["arguments"] == calls[0]["arguments"]


def test_at_most_one_call(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tools", messages=said("both"), tools=ALL_TOOLS, temperature=0, parallel_tool_calls=False
    )
    assert reply.choices[0].message.tool_calls is not None
    assert len(reply.choices[0].message.tool_calls) == 1


def test_tools_need_not_be_called(client: openai.OpenAI) -> None:
    for choice in ("auto", "none"):
        reply = client.chat.completions.create(
            model="tools",
            messages=said("talk"),
            tools=ALL_TOOLS,
            tool_choice=choice,
            temperature=0,
        )
        assert reply.choices[0].message.content == REPLIES["talk"]
        assert reply.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_a_required_call_is_made_whatever_the_model_wants(client: openai.OpenAI, choice: Any) -> None:
    reply = client.chat.completions.create(
        model="tools", messages=said("talk"), tools=ALL_TOOLS, tool_choice=choice, temperature=0, max_tokens=200
    )
    calls = reply.choices[0].message.tool_calls
    assert calls
    function = called(calls[0])
    assert function["name"] in ("weather", "clock")
    if choice != "required":
        assert function["name"] == "clock"
    if reply.choices[0].finish_reason == "tool_calls":
        json.loads(function["arguments"])


def test_length_wins_over_tool_calls(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tools", messages=said("weather"), tools=ALL_TOOLS, temperature=0, max_tokens=25
    )
    assert reply.choices[0].finish_reason == "length"


def test_tools_of_other_types_are_skipped(server: RunningServer) -> None:
    body = {
        "model": "tools",
        "messages": said("talk"),
        "tools": [{"type": "web_search"}, *ALL_TOOLS],
        "temperature": 0,
    }
    with server.client() as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 200


def test_results_of_tools_go_into_the_prompt(server: RunningServer) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    messages = [
        *said("what time is it"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ten past nine"},
    ]
    with server.client() as http:
        body = {"model": "plain", "messages": messages, "tools": ALL_TOOLS}
        reply = http.post("/apply-template", json=body)
        assert reply.status_code == 200, reply.text
        prompt = reply.json()["prompt"]
    assert '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>' in prompt
    assert "<tool_response>\nten past nine\n</tool_response>" in prompt
    assert '"name": "weather"' in prompt


@pytest.mark.parametrize(
    "form",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}},
        {"guided_json": SCHEMA},
    ],
)
@pytest.mark.parametrize("text", ["json", "talk"])
def test_structured_output(server: RunningServer, form: dict[str, Any], text: str) -> None:
    body = {"model": "plain", "messages": said(text), "temperature": 0, "max_tokens": 300, **form}
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    choice = reply.json()["choices"][0]
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    if text == "json":
        assert choice["finish_reason"] == "stop"
        assert json.loads(choice["message"]["content"]) == {"name": "fox", "age": 3}


def test_other_grammars(server: RunningServer) -> None:
    with server.client() as http:
        for form, expected in (
            ({"guided_choice": ["yes", "no"]}, ("yes", "no")),
            ({"guided_regex": "[0-9]{3}x"}, None),
            ({"guided_grammar": 'start: "a" "b"'}, ("ab",)),
        ):
            body = {"model": "plain", "messages": said("talk"), "temperature": 0, **form}
            reply = http.post("/v1/chat/completions", json=body)
            assert reply.status_code == 200, reply.text
            content = reply.json()["choices"][0]["message"]["content"]
            assert content in expected if expected else len(content) == 4


@pytest.mark.parametrize(
    ("form", "parameter"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}}, "response_format"),
        ({"guided_regex": "(a+"}, "guided_regex"),
        ({"guided_grammar": "start: nothing"}, "guided_grammar"),
        ({"guided_json": {"type": "object"}, "guided_regex": "a"}, "guided_regex"),
    ],
)
def test_a_grammar_that_cannot_be_held_to_is_refused(
    server: RunningServer, form: dict[str, Any], parameter: str
) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json={"model": "plain", "messages": said("talk"), **form})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"].startswith(parameter)


def test_strict_tools(server: RunningServer) -> None:
    odd = {"type": "function", "function": {"name": "odd", "parameters": {"type": "object", "not": {}}, "strict": True}}
    body = {"model": "tools", "messages": said("talk"), "tools": [odd]}
    with server.client() as http:
        assert http.post("/v1/chat/completions", json=body).status_code == 400
        del odd["function"]["strict"]  # type: ignore[attr-defined]
        assert http.post("/v1/chat/completions", json=body).status_code == 200


def test_reasoning_is_told_apart(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "thinks", "messages": said("think"), "temperature": 0}
    whole = client.chat.completions.create(**asked)
    message = whole.choices[0].message.to_dict()
    assert message["content"] == "It jumps."
    assert message["reasoning_content"] == message["reasoning"] == "The fox is quick."
    assert whole.usage is not None
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens
    content = reasoning = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        delta = chunk.choices[0].delta.to_dict()
        content += str(delta.get("content") or "")
        reasoning += str(delta.get("reasoning_content") or "")
    assert (content, reasoning) == ("It jumps.", "The fox is quick.")
