"""The routes of Responses, asked by openai-python with strict validation of every reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from honed.errors import ParameterError
from honed.server.errors import Fault, RequestError
from honed.server.exchange import ChatCall, Quiet, ReasoningDelta, TextDelta
from honed.server.responses.routes import responses_routes
from scripted_replies import Script, ScriptedService, answer, app_of, call

T = TypeVar("T")
TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
ALL = answer(
    ReasoningDelta(0, "hm"),
    Quiet(True),
    TextDelta(0, "Hi "),
    Quiet(False),
    TextDelta(0, "you"),
    *call(0, "look", '{"a"', ": 1}"),
    *call(1, "look", "{}"),
    reason="tool_calls",
)


def ask(script: Script, use: Callable[[AsyncOpenAI], Awaitable[T]], *, batch: int = 1) -> tuple[T, ScriptedService]:
    """What a client makes of a service that answers so."""
    service = ScriptedService(script, batch=batch)

    async def asked() -> T:
        transport = openai.DefaultAsyncHttpxClient(transport=_transport(service))
        async with AsyncOpenAI(
            api_key="key",
            base_url="http://server/v1",
            http_client=transport,
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            return await use(client)

    return asyncio.run(asked()), service


def _transport(service: ScriptedService) -> Any:
    import httpx2

    return httpx2.ASGITransport(app=app_of(responses_routes(service)))


def test_a_whole_response() -> None:
    response, service = ask(ALL, lambda client: client.responses.create(model="tiny", input="hello", tools=[TOOL]))
    assert response.output_text == "Hi you"
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert response.id.startswith("resp_")
    assert response.usage is not None
    assert response.usage.total_tokens == 12
    assert response.tools[0].type == "function"
    assert isinstance(service.calls[0], ChatCall)
    assert service.calls[0].messages == [{"role": "user", "content": "hello"}]
    assert service.replies[0].closed


@pytest.mark.parametrize("batch", [1, 100])
def test_a_stream(batch: int) -> None:
    async def use(client: AsyncOpenAI) -> tuple[list[str], Any]:
        async with client.responses.stream(model="tiny", input="hello", tools=[TOOL]) as stream:
            kinds = [str(event.type) async for event in stream]
            return kinds, await stream.get_final_response()

    (kinds, final), service = ask(ALL, use, batch=batch)
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 2
    assert final.output_text == "Hi you"
    assert final.output[2].arguments == '{"a": 1}'
    assert service.replies[0].closed


def test_a_stream_that_breaks_says_so() -> None:
    async def use(client: AsyncOpenAI) -> list[Any]:
        return [event async for event in await client.responses.create(model="tiny", input="hello", stream=True)]

    script = [*answer(TextDelta(0, "Hi"))[:2], RuntimeError("at 0x7f00 in /srv")]
    events, service = ask(script, use)
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert "0x7f00" not in events[-1].response.error.message
    assert service.replies[0].closed


def test_a_cancelled_reply() -> None:
    script = answer(TextDelta(0, "Hi"), reason="abort")
    with pytest.raises(openai.APIStatusError, match="cancelled"):
        ask(script, lambda client: client.responses.create(model="tiny", input="hello"))


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        ({"input": 3}, "input"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], parameter: str) -> None:
    asked: Any = {"model": "tiny", "input": "hello", **fields}
    with pytest.raises(openai.BadRequestError) as found:
        ask(ALL, lambda client: client.responses.create(**asked))
    assert found.value.param == parameter


def test_errors_before_the_first_event_are_statuses() -> None:
    for error, status in (
        (ParameterError("prompt", "x", "is too long"), 400),
        (RequestError(Fault(status=429, message="full", retry_after=2)), 429),
    ):
        with pytest.raises(openai.APIStatusError) as found:
            ask([error], lambda client: client.responses.create(model="tiny", input="x", stream=True))
        assert found.value.status_code == status


def test_counting() -> None:
    counted, service = ask(
        ALL, lambda client: client.responses.input_tokens.count(model="tiny", input="x", tools=[TOOL])
    )
    assert counted.input_tokens == 7
    assert isinstance(service.calls[0], ChatCall)
    assert [tool.name for tool in service.calls[0].tools] == ["look"]


def test_the_document_says_what_is_answered() -> None:
    document = app_of(responses_routes(ScriptedService(ALL))).openapi()
    replies = document["paths"]["/v1/responses"]["post"]["responses"]["200"]["content"]
    assert replies["application/json"]["schema"] == {"$ref": "#/components/schemas/ResponseObject"}
    assert "text/event-stream" in replies
    body = document["paths"]["/v1/responses"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ResponsesBody"}


def test_headers_of_a_stream() -> None:
    async def use() -> httpx.Response:
        app = app_of(responses_routes(ScriptedService(ALL)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            return await client.post("/v1/responses", json={"model": "tiny", "input": "x", "stream": True})

    reply = asyncio.run(use())
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert ": waiting\n\n" in reply.text
