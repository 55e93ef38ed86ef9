"""What may stand in a request to /v1/responses. Not here: what becomes of it (`reading.py`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from honed.server.fields import Body, at_most
from honed.server.request_body import (
    ANY_OBJECT,
    MOST_STOPS,
    MOST_TOKENS,
    TEXT,
    Object,
    one_of,
    shaped,
)

MOST_METADATA = 1000
_PART = shaped(["type", "text"], type=one_of("input_text", "output_text"), text=TEXT)
_CONTENT: Object = {"anyOf": [TEXT, {"type": "array", "items": _PART}]}
_ITEMS: list[Object] = [
    shaped(
        ["role", "content"],
        type=one_of("message"),
        role=one_of("user", "assistant", "system", "developer"),
        content=_CONTENT,
    ),
    shaped(
        ["type", "call_id", "name", "arguments"],
        type=one_of("function_call"),
        call_id=TEXT,
        name=TEXT,
        arguments=TEXT,
    ),
    shaped(["type", "call_id", "output"], type=one_of("function_call_output"), call_id=TEXT, output=_CONTENT),
    shaped(["type", "summary"], type=one_of("reasoning"), summary={"type": "array", "maxItems": 0}),
]
Item = Annotated[Object, WithJsonSchema({"anyOf": _ITEMS})]
Tool = Annotated[
    Object,
    WithJsonSchema(
        shaped(["type", "name"], type=one_of("function"), name={**TEXT, "minLength": 1}, parameters=ANY_OBJECT)
    ),
]


class CountBody(Body):
    """Of /v1/responses/input_tokens: what the prompt is made of."""

    model: str
    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Object | None = None
    parallel_tool_calls: bool | None = None
    text: Object | None = None
    reasoning: Object | None = None
    previous_response_id: str | None = None
    conversation: str | Object | None = None
    prompt: Object | None = None
    truncation: Literal["auto", "disabled"] | None = None
    chat_template_kwargs: Object | None = None


class ResponsesBody(CountBody):
    """Of /v1/responses."""

    max_output_tokens: Annotated[int | None, Field(ge=1, le=MOST_TOKENS)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    include: list[str] | None = None
    stream: bool | None = None
    stream_options: Object | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: Annotated[dict[str, str], at_most(MOST_METADATA)] | None = None
    user: str | None = None
    context_management: list[Any] | None = None
    # Of the API, and without a say in the text: billing, caches of a provider, tools that it runs.
    access_programs: Any = None
    client_metadata: Any = None
    max_tool_calls: int | None = None
    moderation: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    # Not of the API: what decoders and servers of this kind have besides.
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    min_tokens: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    ignore_eos: bool | None = None
    priority: Annotated[int | None, Field(ge=-1000, le=1000)] = None
    cache_salt: Annotated[str | None, Field(max_length=256)] = None
