"""What may stand in requests to Ollama's API. Not here: what becomes of it (`reading.py`, `options.py`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from honed.server.fields import Body
from honed.server.request_body import ANY_OBJECT, TEXT, Object, one_of, shaped

Turn = Annotated[
    Object,
    WithJsonSchema(shaped(["role"], role=one_of("system", "user", "assistant", "tool"), content=TEXT, thinking=TEXT)),
]
Tool = Annotated[
    Object,
    WithJsonSchema(
        shaped(
            ["function"],
            type=one_of("function"),
            function=shaped(["name"], name={**TEXT, "minLength": 1}, description=TEXT, parameters=ANY_OBJECT),
        )
    ),
]


class RunBody(Body):
    """What chat and generate have in common. keep_alive: how long a model stays is said when the server is started; 0
    without anything to answer unloads it now."""

    model: str
    stream: bool | None = None
    format: str | Object | None = None
    options: Object | None = None
    keep_alive: float | str | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None


class ChatBody(RunBody):
    """Of /api/chat."""

    messages: list[Turn] | None = None
    tools: list[Tool] | None = None


class GenerateBody(RunBody):
    """Of /api/generate. raw: the prompt is taken as it is, without the template of a chat."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[Any] | None = None


class EmbedBody(Body):
    """Of /api/embed. truncate: whether a text that is too long is cut, as it is unless told."""

    model: str
    input: str | list[str]
    truncate: bool | None = None
    dimensions: Annotated[int | None, Field(ge=1)] = None
    options: Object | None = None
    keep_alive: float | str | None = None


class OldEmbedBody(Body):
    """Of /api/embeddings."""

    model: str
    prompt: str | None = None
    options: Object | None = None
    keep_alive: float | str | None = None


class ShowBody(Body):
    """Of /api/show. name: what `model` was called once."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None
