"""Every way of asking, over a real connection to a model that says what is asked of it: the clients' own libraries,
counts that agree, errors in each dialect, and clients that go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.server.dialects import RENDERERS
from known_rows import KnownRows, tokenizer
from running_server import RunningServer
from scripted_model import TOOLS, scripted_model
from turn_tokenizers import CHATML

KEY = "the-key-of-tests"
CALL = '<tool_call>\n{"name": "look", "arguments": {"fox": "brown", "dogs": 2}}\n</tool_call>'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"fox": {"type": "string"}, "dogs": {"type": "integer"}},
    "required": ["fox", "dogs"],
    "additionalProperties": False,
}
REPLIES = {
    "hello": "Hello! The fox jumps over it.",
    "bytes": "naïver Bär 🦊 frißt",
    "long": "over the lazy dog " * 40,
    "call": CALL,
    "twice": f"{CALL}\n{CALL}",
    "begin": "The quick brown fox",
}
TOOL: Any = {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": True}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "m", "input": "hello", "temperature": 0},
    "/v1/messages": {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
    },
    "/api/chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}], "options": {"temperature": 0}},
    "/api/generate": {"model": "m", "prompt": "hello", "options": {"temperature": 0}},
}
LAST_EVENTS = {
    "/v1/responses": "event: response.completed",
    "/v1/messages": "event: message_stop",
    "/api/chat": '"done":true',
    "/api/generate": '"done":true',
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    def encoder() -> TextEncoder:
        return TextEncoder("e", KnownRows(), tokenizer(), SentenceSettings())

    models: dict[str, Any] = {"m": lambda: scripted_model(REPLIES, template=TOOLS + CHATML)[0], "e": encoder}
    with RunningServer(models, api_keys=(KEY,)) as running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client(headers={"authorization": f"Bearer {KEY}"}) as made:
        yield made


@pytest.fixture
def gpt(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture
def claude(server: RunningServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0, _strict_response_validation=True) as made:
        yield made


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("text", ["hello", "bytes", "long"])
def test_responses_streamed_and_whole_agree(gpt: openai.OpenAI, text: str) -> None:
    whole = gpt.responses.create(model="m", input=text, temperature=0)
    with gpt.responses.stream(model="m", input=text, temperature=0) as stream:
        final = stream.until_done().get_final_response()
    assert whole.output_text == final.output_text == REPLIES[text]
    assert whole.usage is not None
    assert final.usage is not None
    assert whole.usage.total_tokens == final.usage.total_tokens
    counted = gpt.responses.input_tokens.count(model="m", input=text)
    assert counted.input_tokens == whole.usage.input_tokens


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_responses_call_functions(gpt: openai.OpenAI, choice: Any) -> None:
    with gpt.responses.stream(model="m", input="call", temperature=0, tools=[TOOL], tool_choice=choice) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.function_call_arguments.done") == 1
    assert [item.type for item in final.output] == ["function_call"]
    call: Any = final.output[0]
    assert (call.name, json.loads(call.arguments)) == ("look", {"fox": "brown", "dogs": 2})
    again = gpt.responses.create(
        model="m",
        input=[
            {"role": "user", "content": "call"},
            call.to_dict(),
            {"type": "function_call_output", "call_id": call.call_id, "output": "a fox"},
            {"role": "user", "content": "hello"},
        ],
        tools=[TOOL],
        temperature=0,
    )
    assert again.output_text == REPLIES["hello"]


@pytest.mark.parametrize("stream", [False, True])
def test_responses_go_on_with_earlier_ones(gpt: openai.OpenAI, stream: bool) -> None:
    if stream:
        with gpt.responses.stream(model="m", input="call", temperature=0, tools=[TOOL]) as events:
            first: Any = events.get_final_response()
    else:
        first = gpt.responses.create(model="m", input="call", temperature=0, tools=[TOOL], instructions="Be kind.")
    result: Any = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "a fox"}
    rest: list[Any] = [result, *said("hello")]
    asked: dict[str, Any] = {"model": "m", "tools": [TOOL]}
    second = gpt.responses.create(input=rest, previous_response_id=first.id, temperature=0, **asked)
    assert (second.output_text, second.previous_response_id, first.to_dict()["store"]) == (
        REPLIES["hello"],
        first.id,
        True,
    )
    whole = [*said("call"), first.output[0].to_dict(), *rest]
    counts = [
        gpt.responses.input_tokens.count(input=whole, **asked).input_tokens,
        gpt.responses.input_tokens.count(input=rest, previous_response_id=first.id, **asked).input_tokens,
    ]
    assert second.usage is not None
    assert counts == [second.usage.input_tokens] * 2
    left = gpt.responses.create(model="m", input="hello", temperature=0, store=False)
    for identifier in (left.id, "resp_of_somebody"):
        with pytest.raises(openai.BadRequestError) as found:
            gpt.responses.create(model="m", input="hello", previous_response_id=identifier)
        assert found.value.param == "previous_response_id"


def test_responses_that_are_cut(gpt: openai.OpenAI) -> None:
    whole = gpt.responses.create(model="m", input="long", temperature=0, max_output_tokens=5)
    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert REPLIES["long"].startswith(whole.output_text)
    assert whole.usage is not None
    assert whole.usage.output_tokens == 5


def test_responses_with_logprobs(gpt: openai.OpenAI) -> None:
    whole = gpt.responses.create(
        model="m", input="hello", temperature=0, top_logprobs=2, include=["message.output_text.logprobs"]
    )
    message: Any = whole.output[0]
    logprobs = message.content[0].logprobs
    assert "".join(entry.token for entry in logprobs) == REPLIES["hello"]
    assert all(len(entry.top_logprobs) == 2 for entry in logprobs)
    assert all(entry.top_logprobs[0].logprob == entry.logprob for entry in logprobs)


def test_responses_of_a_schema(gpt: openai.OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}
    whole = gpt.responses.create(model="m", input="hello", temperature=0, text=form, max_output_tokens=200)
    if whole.status == "completed":  # a model that wants to say something else may go on for ever within a text
        assert json.loads(whole.output_text).keys() == {"fox", "dogs"}
    assert whole.output_text.startswith("{")
    with pytest.raises(openai.BadRequestError) as found:
        gpt.responses.create(
            model="m",
            input="hello",
            text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "thing"}}},
        )
    assert found.value.param is not None
    assert found.value.param.startswith("text.format")


@pytest.mark.parametrize("text", ["hello", "bytes", "long"])
def test_messages_streamed_and_whole_agree(claude: anthropic.Anthropic, text: str) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": said(text), "system": "Be kind."}
    cold: Any = {"temperature": 0}
    whole = claude.messages.create(max_tokens=900, extra_body=cold, **asked)
    with claude.messages.stream(max_tokens=900, extra_body=cold, **asked) as stream:
        final = stream.get_final_message()
    for message in (whole, final):
        assert [(block.type, getattr(block, "text", None)) for block in message.content] == [("text", REPLIES[text])]
    counted = claude.messages.count_tokens(**asked).input_tokens
    for usage in (whole.usage, final.usage):
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted


@pytest.mark.parametrize("choice", ["auto", "any"])
def test_messages_use_tools(claude: anthropic.Anthropic, choice: str) -> None:
    tools: Any = [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}]
    asked: dict[str, Any] = {"model": "m", "messages": said("twice"), "tools": tools, "tool_choice": {"type": choice}}
    with claude.messages.stream(max_tokens=200, extra_body={"temperature": 0}, **asked) as stream:
        final = stream.get_final_message()
    used = [block for block in final.content if block.type == "tool_use"]
    assert [block.input for block in used] == [{"fox": "brown", "dogs": 2}] * 2
    assert final.stop_reason == "tool_use"
    assert len({block.id for block in used}) == 2
    counted = claude.messages.count_tokens(**asked).input_tokens
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) == counted
    results: Any = [{"type": "tool_result", "tool_use_id": block.id, "content": "a fox"} for block in used]
    again = claude.messages.create(
        model="m",
        max_tokens=50,
        extra_body={"temperature": 0},
        tools=tools,
        messages=[
            *said("twice"),
            {"role": "assistant", "content": final.content},
            {"role": "user", "content": results},
            *said("hello"),
        ],
    )
    assert again.stop_reason == "end_turn"


def test_messages_go_on_with_a_turn_that_was_begun(claude: anthropic.Anthropic) -> None:
    messages: Any = [*said("begin"), {"role": "assistant", "content": "The quick"}]
    whole = claude.messages.create(model="m", max_tokens=50, messages=messages, extra_body={"temperature": 0})
    assert getattr(whole.content[0], "text", None) == " brown fox"


def test_messages_stop(claude: anthropic.Anthropic) -> None:
    stopped = claude.messages.create(
        model="m",
        max_tokens=50,
        messages=said("hello"),
        stop_sequences=["jumps", "?"],
        extra_body={"temperature": 0},
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "jumps")
    assert getattr(stopped.content[0], "text", None) == "Hello! The fox "


def test_the_billing_header_changes_no_prompt(claude: anthropic.Anthropic) -> None:
    def counted(system: Any) -> int:
        return claude.messages.count_tokens(model="m", messages=said("hello"), system=system).input_tokens

    kept = {"type": "text", "text": "Be kind."}
    assert counted([{"type": "text", "text": "x-anthropic-billing-header: a=1"}, kept]) == counted([kept])


def test_ollama_s_own_library(server: RunningServer) -> None:
    client = ollama.Client(server.url, headers={"authorization": f"Bearer {KEY}"})
    with client._client:
        asked_of(client)


def asked_of(client: ollama.Client) -> None:
    cold = {"temperature": 0}
    whole = client.chat("m", said("bytes"), options=cold)
    parts = list(client.chat("m:latest", said("bytes"), options=cold, stream=True))
    assert whole.message.content == "".join(part.message.content or "" for part in parts) == REPLIES["bytes"]
    assert whole.eval_count == parts[-1].eval_count
    assert client.generate("m", "hello", options=cold).response == REPLIES["hello"]
    assert client.generate("m", "hello", raw=True, options=cold).response == REPLIES["hello"]
    called = client.chat("m", said("call"), options=cold, tools=[{"type": "function", "function": {"name": "look"}}])
    assert called.message.tool_calls is not None
    assert called.message.tool_calls[0].function.arguments == {"fox": "brown", "dogs": 2}
    assert client.show("m").capabilities == ["completion", "tools"]
    assert [model.model for model in client.list().models] == ["m", "e"]
    assert len(client.embed("e", ["a", "b"]).embeddings) == 2


def test_vectors_are_asked_for_as_ever(gpt: openai.OpenAI) -> None:
    found = gpt.embeddings.create(model="e", input=["a", "b c"], encoding_format="float")
    assert [len(one.embedding) for one in found.data] == [3, 3]
    with pytest.raises(openai.BadRequestError, match="gives no vectors"):
        gpt.embeddings.create(model="m", input="a", encoding_format="float")
    with pytest.raises(openai.BadRequestError, match="generates none"):
        gpt.responses.create(model="e", input="a")


@pytest.mark.parametrize("path", BODIES)
def test_errors_have_the_form_of_the_dialect(server: RunningServer, http: httpx.Client, path: str) -> None:
    def form(reply: httpx.Response) -> str:
        body = reply.json()
        assert reply.headers["content-type"] == "application/json"
        if isinstance(body["error"], str):
            assert body.keys() == {"error"}
            return "ollama"
        if body.get("type") == "error":
            assert body.keys() == {"type", "error"}
            assert body["error"].keys() == {"type", "message"}
            return "messages"
        assert body["error"].keys() == {"message", "type", "param", "code"}
        return "openai"

    expected = "messages" if "messages" in path else "ollama" if "api" in path else "openai"
    body = BODIES[path]
    with server.client() as nobody:
        refused = nobody.post(path, json=body)
        assert (refused.status_code, form(refused)) == (401, expected)
    for status, reply in (
        (400, http.post(path, content=b"{", headers={"content-type": "application/json"})),
        (400, http.post(path, json=[])),
        (400, http.post(path, json={**body, "model": 3})),
        (404, http.post(path, json={**body, "model": "other"})),
        (405, http.get(path)),
        (413, http.post(path, json={**body, "user": "x" * (9 << 20)})),
    ):
        assert (reply.status_code, form(reply)) == (status, expected)
    assert all(path.startswith(("/v1/", "/api/")) for path in RENDERERS)


@pytest.mark.parametrize("path", BODIES)
def test_streams_end_with_their_last_event(http: httpx.Client, path: str) -> None:
    with http.stream("POST", path, json={**BODIES[path], "stream": True}) as reply:
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-cache"
        lines = [line for line in reply.iter_lines() if line and not line.startswith("data: ")]
    assert LAST_EVENTS[path] in lines[-1]


@pytest.mark.parametrize("path", BODIES)
def test_a_client_that_goes_ends_the_request(server: RunningServer, http: httpx.Client, path: str) -> None:
    body = json.loads(json.dumps(BODIES[path]).replace("hello", "long"))
    with http.stream("POST", path, json={**body, "stream": True}) as reply:
        next(reply.iter_bytes())
    limit = time.monotonic() + 10
    while any(status.users for status in server.registry.statuses()):
        assert time.monotonic() < limit, "the request goes on"
        time.sleep(0.02)


def test_clients_bear_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments and events that say nothing, many times before each token."""
    monkeypatch.setattr("honed.server.reply.QUIET_SECONDS", 0.01)
    model, backend = scripted_model({"begin": "The quick brown fox"})
    backend.pause = 0.1
    with RunningServer({"m": lambda: model}) as server:
        with server.client() as http, http.stream("POST", "/v1/responses", json=streamed("/v1/responses")) as reply:
            text = reply.read().decode()
        assert text.count(": waiting\n\n") > 3
        assert text.count("event: response.in_progress") > 2
        with server.client() as http, http.stream("POST", "/v1/messages", json=streamed("/v1/messages")) as reply:
            assert reply.read().decode().count("event: ping") > 1
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, _strict_response_validation=True) as gpt,
            gpt.responses.stream(model="m", input="begin", temperature=0) as stream,
        ):
            assert stream.get_final_response().output_text == "The quick brown fox"
        cold: Any = {"temperature": 0}
        with (
            anthropic.Anthropic(base_url=server.url, api_key=KEY, _strict_response_validation=True) as claude,
            claude.messages.stream(model="m", max_tokens=9, messages=said("begin"), extra_body=cold) as message,
        ):
            assert message.get_final_text() == "The quick brown fox"
        client = ollama.Client(server.url)
        with client._client:
            parts = list(client.chat("m", said("begin"), options=cold, stream=True))
        assert "".join(part.message.content or "" for part in parts) == "The quick brown fox"
        assert len(parts) > 6


def streamed(path: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(BODIES[path]).replace("hello", "begin"))
    return {**body, "stream": True}


def test_ollama_takes_json_that_does_not_say_so(http: httpx.Client) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "say ok"}], "stream": False})
    for headers in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        reply = http.post("/api/chat", content=body, headers=headers)
        assert reply.status_code == 200, reply.text
        assert reply.json()["done"] is True
