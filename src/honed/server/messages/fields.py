"""What may stand in a request to /v1/messages. Not here: what becomes of it (`reading.py`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from honed.server.fields import Body
from honed.server.request_body import ANY_OBJECT, MOST_STOPS, MOST_TOKENS, TEXT, Object, one_of, shaped

_TEXT_BLOCK = shaped(["type", "text"], type=one_of("text"), text=TEXT)
_TEXTS: Object = {"anyOf": [TEXT, {"type": "array", "items": _TEXT_BLOCK}]}
_BLOCKS: list[Object] = [
    _TEXT_BLOCK,
    shaped(["type", "tool_use_id"], type=one_of("tool_result"), tool_use_id=TEXT, content=_TEXTS),
]
_REPLY_BLOCKS: list[Object] = [
    _TEXT_BLOCK,
    shaped(["type", "thinking"], type=one_of("thinking"), thinking=TEXT, signature=TEXT),
    shaped(["type", "id", "name", "input"], type=one_of("tool_use"), id=TEXT, name=TEXT, input=ANY_OBJECT),
]


def _turn(role: str, blocks: list[Object]) -> Object:
    content = {"anyOf": [TEXT, {"type": "array", "items": {"anyOf": blocks}}]}
    return shaped(["role", "content"], role=one_of(role), content=content)


Turn = Annotated[
    Object,
    WithJsonSchema(
        {"anyOf": [_turn("user", _BLOCKS), _turn("assistant", _REPLY_BLOCKS), _turn("system", [_TEXT_BLOCK])]}
    ),
]
TextBlock = Annotated[Object, WithJsonSchema(_TEXT_BLOCK)]
Tool = Annotated[
    Object,
    WithJsonSchema(
        shaped(["name", "input_schema"], name={**TEXT, "minLength": 1}, description=TEXT, input_schema=ANY_OBJECT)
    ),
]


class CountBody(Body):
    """Of /v1/messages/count_tokens: what the prompt is made of."""

    model: str
    messages: Annotated[list[Turn], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: Object | None = None
    thinking: Object | None = None
    output_config: Object | None = None
    output_format: Object | None = None
    context_management: Object | None = None
    mcp_servers: list[Any] | None = None
    # Of the API, and without a say in the text: billing, caches of a provider, places.
    betas: Any = None
    cache_control: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    service_tier: str | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    # Not of the API: what servers of this kind have besides.
    chat_template_kwargs: Object | None = None


class MessagesBody(CountBody):
    """Of /v1/messages."""

    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    stop_sequences: Annotated[list[str] | None, Field(max_length=MOST_STOPS)] = None
    stream: bool | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=0, le=MOST_TOKENS)] = None
    metadata: Object | None = None
    container: str | Object | None = None
    # Not of the API.
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    priority: Annotated[int | None, Field(ge=-1000, le=1000)] = None
    cache_salt: Annotated[str | None, Field(max_length=256)] = None
