"""POST /v1/chat/completions over a real connection, with openai-python and with bare HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from running_server import RunningServer
from scripted_model import scripted_model

REPLIES = {
    "hello": "Hello! The fox jumps over it.",
    "bytes": "naïver Bär 🦊 frißt",
    "long": "over the lazy dog " * 40,
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer({"scripted": lambda: scripted_model(REPLIES)[0]}) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="unused-key", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def events(server: RunningServer, **body: Any) -> list[dict[str, Any]]:
    """The events of a stream, up to [DONE], which must be there."""
    with (
        server.client() as http,
        http.stream("POST", "/v1/chat/completions", json={"model": "scripted", "stream": True, **body}) as reply,
    ):
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        lines = [line for line in reply.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_whole_reply_is_what_the_client_expects(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="scripted", messages=said("hello"), temperature=0)
    choice = reply.choices[0]
    assert choice.message.content == REPLIES["hello"]
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.completion_tokens_details is not None


def test_required_fields_are_there(server: RunningServer) -> None:
    with server.client() as http:
        document = http.post("/v1/chat/completions", json={"model": "scripted", "messages": said("hello")}).json()
    assert document["choices"][0].keys() == {"finish_reason", "index", "message", "logprobs"}
    assert document["choices"][0]["message"].keys() == {"role", "content", "refusal"}


@pytest.mark.parametrize("text", REPLIES)
def test_stream_and_whole_agree(client: openai.OpenAI, server: RunningServer, text: str) -> None:
    whole = client.chat.completions.create(model="scripted", messages=said(text), temperature=0)
    chunks = events(server, messages=said(text), temperature=0, stream_options={"include_usage": True})
    streamed = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert streamed == whole.choices[0].message.content == REPLIES[text]
    assert len({chunk["id"] for chunk in chunks}) == 1
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in chunks if chunk["choices"]]
    assert roles[0] == "assistant"
    assert not any(roles[1:])
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert finishes[-1] == whole.choices[0].finish_reason
    assert not any(finishes[:-1])
    assert chunks[-1]["choices"] == []
    assert whole.usage is not None
    assert chunks[-1]["usage"]["total_tokens"] == whole.usage.total_tokens
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_openai_python_reads_the_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="scripted", messages=said("hello"), temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == REPLIES["hello"]


def test_usage_in_streams(server: RunningServer) -> None:
    plain = events(server, messages=said("hello"), temperature=0)
    assert not any("usage" in chunk for chunk in plain)
    always = events(
        server,
        messages=said("hello"),
        temperature=0,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    )
    counts = [chunk["usage"]["completion_tokens"] for chunk in always]
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_several_choices(client: openai.OpenAI, server: RunningServer) -> None:
    reply = client.chat.completions.create(model="scripted", messages=said("hello"), temperature=0, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert {choice.message.content for choice in reply.choices} == {REPLIES["hello"]}
    chunks = events(server, messages=said("hello"), temperature=0, n=3)
    for index in range(3):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(choice["delta"].get("content") or "" for choice in own) == REPLIES["hello"]
        assert [choice["finish_reason"] for choice in own if choice["finish_reason"]] == ["stop"]
        assert [choice["delta"]["role"] for choice in own if "role" in choice["delta"]] == ["assistant"]


def test_length_and_stop_strings(client: openai.OpenAI) -> None:
    cut = client.chat.completions.create(model="scripted", messages=said("long"), temperature=0, max_tokens=3)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 3
    stopped = client.chat.completions.create(
        model="scripted", messages=said("hello"), temperature=0, stop=["x jumps", "never"]
    )
    assert stopped.choices[0].message.content == "Hello! The fo"
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 10**400}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"stop": ""}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"audio": {}}, "audio"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
    ],
)
def test_what_is_wrong_is_named(server: RunningServer, body: dict[str, Any], parameter: str) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json={"model": "scripted", "messages": said("hello"), **body})
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == parameter
    assert parameter in error["message"]


def test_null_equals_absence(server: RunningServer) -> None:
    fields = "temperature top_p n stop seed tools tool_choice response_format logprobs stream stream_options logit_bias"
    with server.client() as http:
        reply = http.post(
            "/v1/chat/completions",
            json={"model": "scripted", "messages": said("hello"), **dict.fromkeys(fields.split())},
        )
    assert reply.status_code == 200, reply.text


def test_unknown_fields_are_accepted_and_logged_once(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with server.client() as http, caplog.at_level("WARNING", "honed.server"):
        for _ in range(2):
            body = {"model": "scripted", "messages": said("hello"), "zeitgeist": 1}
            assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert len([record for record in caplog.records if "zeitgeist" in record.getMessage()]) == 1


@pytest.mark.parametrize("words", [400, 2000])  # found out by counting tokens, and by the length of the text
def test_a_prompt_that_is_too_long_is_told_both_numbers(server: RunningServer, words: int) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json={"model": "scripted", "messages": said("fox and dog " * words)})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["param"] == "messages"
    assert error["code"] == "context_length_exceeded"
    assert error["message"].startswith("prompt is too long: messages = ")  # words that clients look for
    assert "1024" in error["message"]


def test_roles(server: RunningServer) -> None:
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        {"role": "assistant", "content": "Hello! The"},
    ]
    with server.client() as http:
        body = {"model": "scripted", "messages": messages, "temperature": 0}
        reply = http.post("/v1/chat/completions", json=body).json()
        prompt = http.post("/apply-template", json={"messages": messages}).json()["prompt"]
    assert prompt.startswith("<|im_start|>system\nbe brief")
    assert prompt.endswith("Hello! The")
    assert reply["choices"][0]["message"]["content"] == " fox jumps over it."


def test_an_unknown_model_is_404(server: RunningServer) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json={"model": "no such", "messages": said("hello")})
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"
