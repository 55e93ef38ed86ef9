"""openai-python with strict validation of replies: the helpers on top of its requests, which read more than those."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from asked_models import ARGUMENTS, CONCLUSION, KEY, OBJECT, REPLIES, SCHEMA, THOUGHT, TOOL, asked_server, said
from running_server import RunningServer


class Seen(BaseModel):
    fox: str
    dogs: int


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with asked_server() as running:
        yield running


@pytest.fixture
def gpt(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def test_the_stream_helper_of_chat_accepts_every_event(gpt: openai.OpenAI) -> None:
    for text in ("hello", "bytes"):
        with gpt.chat.completions.stream(
            model="m", messages=said(text), temperature=0, logprobs=True, top_logprobs=2
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        assert {"chunk", "content.delta", "content.done", "logprobs.content.done"} <= kinds
        assert final.choices[0].message.content == REPLIES[text]
        assert final.choices[0].finish_reason == "stop"
        told = final.choices[0].logprobs
        assert told is not None
        assert told.content is not None
        assert b"".join(bytes(entry.bytes or ()) for entry in told.content).decode() == REPLIES[text]


def test_the_stream_helper_of_chat_puts_tool_calls_together(gpt: openai.OpenAI) -> None:
    tools: Any = [{**TOOL, "function": {**TOOL["function"], "strict": True}}]
    with gpt.chat.completions.stream(model="m", messages=said("twice"), temperature=0, tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [json.loads(event.arguments) for event in done] == [ARGUMENTS] * 2
    calls = final.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.parsed_arguments) for call in calls] == [("look", ARGUMENTS)] * 2
    assert final.choices[0].finish_reason == "tool_calls"
    answers: Any = [{"role": "tool", "tool_call_id": call.id, "content": "a fox"} for call in calls]
    message: Any = final.choices[0].message.model_dump(exclude_none=True)
    again = gpt.chat.completions.create(
        model="m", messages=[*said("twice"), message, *answers, *said("hello")], temperature=0, tools=tools
    )
    assert again.choices[0].message.content == REPLIES["hello"]


def test_a_class_is_filled(gpt: openai.OpenAI) -> None:
    chat = gpt.chat.completions.parse(model="m", messages=said("object"), temperature=0, response_format=Seen)
    assert chat.choices[0].message.parsed == Seen(**ARGUMENTS)
    with gpt.chat.completions.stream(model="m", messages=said("object"), temperature=0, response_format=Seen) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Seen(**ARGUMENTS)
    assert gpt.responses.parse(model="m", input="object", temperature=0, text_format=Seen).output_parsed == Seen(
        **ARGUMENTS
    )
    with gpt.responses.stream(model="m", input="object", temperature=0, text_format=Seen) as events:
        assert events.get_final_response().output_parsed == Seen(**ARGUMENTS)


def test_any_object(gpt: openai.OpenAI) -> None:
    for form in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}):
        asked: Any = form
        found = gpt.chat.completions.create(model="m", messages=said("object"), temperature=0, response_format=asked)
        assert found.choices[0].message.content == OBJECT


def test_reasoning_stands_apart(gpt: openai.OpenAI) -> None:
    whole = gpt.chat.completions.create(model="t", messages=said("think"), temperature=0).choices[0].message
    assert (whole.content, (whole.model_extra or {})["reasoning_content"]) == (CONCLUSION, THOUGHT)
    with gpt.responses.stream(model="t", input="think", temperature=0) as stream:
        final = stream.until_done().get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.output_text == CONCLUSION
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens > 0


def test_vectors_in_both_encodings(gpt: openai.OpenAI, server: RunningServer) -> None:
    # The client asks for base64 unless told otherwise, unpacks it, and its strict types know only the numbers.
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as lenient:
        packed = lenient.embeddings.create(model="e", input=["a b", "c"])
    plain = gpt.embeddings.create(model="e", input=["a b", "c"], encoding_format="float")
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
    assert packed.usage == plain.usage
    ids = gpt.embeddings.create(model="e", input=[[2, 4, 5, 3], [2, 6, 3]], encoding_format="float")
    assert [one.embedding for one in ids.data] == [one.embedding for one in plain.data]


def test_models_are_listed(gpt: openai.OpenAI) -> None:
    assert [model.id for model in gpt.models.list()] == ["m", "t", "e"]
    assert gpt.models.retrieve("m").id == "m"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("gpt-4o")


def test_many_at_once_from_one_loop(server: RunningServer) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
            replies = await asyncio.gather(
                *(client.chat.completions.create(model="m", messages=said("hello"), temperature=0) for _ in range(16))
            )
        return [reply.choices[0].message.content for reply in replies]

    assert asyncio.run(ask()) == [REPLIES["hello"]] * 16


def test_a_wrong_key_is_the_client_s_own_error(server: RunningServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="another-key", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.responses.create(model="m", input="hello")
