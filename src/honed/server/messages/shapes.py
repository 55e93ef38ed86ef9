"""What /v1/messages answers, for /openapi.json. Not here: making it (`output.py`)."""

from __future__ import annotations

from typing import Any, Literal

from honed.server.fields import Document


class TextBlock(Document):
    """What the model says."""

    type: Literal["text"]
    text: str


class ThinkingBlock(Document):
    """What the model thought before. signature: opaque."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseBlock(Document):
    """A call that the client is to make."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ThinkingDetails(Document):
    """Of the generated tokens."""

    thinking_tokens: int


class MessageUsage(Document):
    """Counts of tokens. The prompt has `input_tokens` and `cache_read_input_tokens` together."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingDetails


class MessageObject(Document):
    """A whole message."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextBlock | ThinkingBlock | ToolUseBlock]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(Document):
    """The answer of /v1/messages/count_tokens."""

    input_tokens: int


class MessagesFault(Document):
    """What went wrong."""

    type: str
    message: str


class MessagesRefusal(Document):
    """Every refusal of these routes."""

    type: Literal["error"]
    error: MessagesFault
