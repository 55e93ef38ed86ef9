"""The routes of Messages, asked by anthropic's library with strict validation of every reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from honed.errors import ParameterError
from honed.server.errors import Fault, RequestError
from honed.server.exchange import ChatCall, Quiet, ReasoningDelta, TextDelta
from honed.server.messages.routes import messages_routes
from honed.server.messages.stream import messages_error
from scripted_replies import Script, ScriptedService, answer, app_of, call

T = TypeVar("T")
TOOL: Any = {"name": "look", "input_schema": {"type": "object"}}
HELLO: Any = [{"role": "user", "content": "hello"}]
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


def ask(script: Script, use: Callable[[AsyncAnthropic], Awaitable[T]], *, batch: int = 1) -> tuple[T, ScriptedService]:
    """What a client makes of a service that answers so."""
    service = ScriptedService(script, batch=batch)
    app: Any = app_of(messages_routes(service), {"/v1/messages": messages_error})

    async def asked() -> T:
        async with AsyncAnthropic(
            api_key="key",
            base_url="http://server",
            http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)),
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            return await use(client)

    return asyncio.run(asked()), service


def test_a_whole_message() -> None:
    message, service = ask(
        ALL, lambda client: client.messages.create(model="tiny", max_tokens=5, messages=HELLO, tools=[TOOL])
    )
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.stop_reason == "tool_use"
    assert message.id.startswith("msg_")
    assert isinstance(service.calls[0], ChatCall)
    assert service.calls[0].max_tokens == 5
    assert service.replies[0].closed


@pytest.mark.parametrize("batch", [1, 100])
def test_a_stream(batch: int) -> None:
    async def use(client: AsyncAnthropic) -> tuple[list[str], Any]:
        async with client.messages.stream(model="tiny", max_tokens=5, messages=HELLO, tools=[TOOL]) as stream:
            kinds = [str(event.type) async for event in stream]
            return kinds, await stream.get_final_message()

    (kinds, final), service = ask(ALL, use, batch=batch)
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert final.content[1].text == "Hi you"
    assert final.content[2].input == {"a": 1}
    assert final.usage.output_tokens == 5
    assert service.replies[0].closed


def test_a_stream_that_breaks_says_so() -> None:
    async def use(client: AsyncAnthropic) -> None:
        async for _ in await client.messages.create(model="tiny", max_tokens=5, messages=HELLO, stream=True):
            pass

    with pytest.raises(anthropic.APIStatusError, match="a fault inside the server") as found:
        ask([*answer(TextDelta(0, "Hi"))[:2], RuntimeError("at 0x7f00 in /srv")], use)
    assert "0x7f00" not in str(found.value)


def test_a_stream_that_never_ends_says_so() -> None:
    async def use(client: AsyncAnthropic) -> None:
        async for _ in await client.messages.create(model="tiny", max_tokens=5, messages=HELLO, stream=True):
            pass

    with pytest.raises(anthropic.APIStatusError, match="without its end"):
        ask(answer(TextDelta(0, "Hi"))[:2], use)


def test_a_cancelled_reply() -> None:
    with pytest.raises(anthropic.APIStatusError, match="cancelled"):
        ask(
            answer(reason="abort"),
            lambda client: client.messages.create(model="tiny", max_tokens=5, messages=HELLO),
        )


def test_refusals_have_the_form_of_the_api() -> None:
    for error, status, kind in (
        (ParameterError("messages", "x", "is too long"), 400, "invalid_request_error"),
        (RequestError(Fault(status=429, message="full", retry_after=2)), 429, "rate_limit_error"),
        (RequestError(Fault(status=404, message="no model")), 404, "not_found_error"),
    ):
        with pytest.raises(anthropic.APIStatusError) as found:
            ask([error], lambda client: client.messages.create(model="tiny", max_tokens=5, messages=HELLO))
        assert found.value.status_code == status
        body: Any = found.value.body
        assert (body["type"], body["error"]["type"]) == ("error", kind)


def test_a_field_that_is_wrong_is_named() -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        ask(ALL, lambda client: client.messages.create(model="tiny", max_tokens=0, messages=HELLO))


def test_counting() -> None:
    counted, service = ask(
        ALL, lambda client: client.messages.count_tokens(model="tiny", messages=HELLO, tools=[TOOL], system="s")
    )
    assert counted.input_tokens == 7
    assert isinstance(service.calls[0], ChatCall)
    assert len(service.calls[0].messages) == 2


def test_any_version_and_beta_are_taken() -> None:
    async def use(client: AsyncAnthropic) -> Any:
        return await client.beta.messages.create(
            model="tiny",
            max_tokens=5,
            messages=HELLO,
            betas=["anything-2031-01-01"],
            extra_headers={"anthropic-version": "2031-01-01"},
        )

    message, _ = ask(ALL, use)
    assert message.content[1].text == "Hi you"
