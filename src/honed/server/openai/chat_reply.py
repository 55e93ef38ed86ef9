"""A reply to a chat as one document: what its stream says, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.server.exchange import (
    Delta,
    Ended,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegun,
    ToolCallDelta,
)
from honed.server.fields import Document
from honed.server.openai.fields import UsageDocument
from honed.server.openai.logprobs import chat_logprobs
from honed.server.openai.usage import finish_reason, usage_document
from honed.server.service import Reply


class CalledFunction(Document):
    """arguments: JSON text."""

    name: str
    arguments: str


class ToolCallDocument(Document):
    """One call."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class ReplyMessage(Document):
    """The reply itself."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCallDocument] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class ChatChoice(Document):
    """One of the n replies."""

    index: int
    message: ReplyMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatDocument(Document):
    """What /v1/chat/completions gives."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChatChoice]
    usage: UsageDocument


@dataclass
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[TokenLogprob] = field(default_factory=list)
    finish: str = "stop"

    def add(self, delta: Delta) -> None:
        match delta:
            case TextDelta():
                self.text.append(delta.text)
                self.tokens += delta.tokens
            case ReasoningDelta():
                self.reasoning.append(delta.text)
                self.tokens += delta.tokens
            case ToolCallBegun():
                function = {"name": delta.name, "arguments": ""}
                self.calls.append({"id": delta.identifier, "type": "function", "function": function})
            case ToolCallDelta():
                self.calls[delta.number]["function"]["arguments"] += delta.arguments
            case Ended():
                self.finish = finish_reason(delta.reason)

    def document(self, index: int, logprobs: bool) -> Mapping[str, Any]:
        text = "".join(self.text)
        message: dict[str, Any] = {"role": "assistant", "content": text or None if self.calls else text}
        message["refusal"] = None
        if self.calls:
            message["tool_calls"] = self.calls
        if self.reasoning:
            message["reasoning_content"] = message["reasoning"] = "".join(self.reasoning)
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(self.tokens) if logprobs else None,
            "finish_reason": self.finish,
        }


async def whole_chat(reply: Reply, identifier: str, *, n: int, logprobs: bool) -> dict[str, Any]:
    """The document, once the reply has ended. Errors are those of the reply."""
    choices = [_Choice() for _ in range(n)]
    try:
        while deltas := await reply.ready():
            for delta in deltas:
                if isinstance(delta, TextDelta | ReasoningDelta | ToolCallBegun | ToolCallDelta | Ended):
                    choices[delta.index].add(delta)
    finally:
        await reply.aclose()
    return {
        "id": identifier,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "system_fingerprint": None,
        "choices": [choice.document(index, logprobs) for index, choice in enumerate(choices)],
        "usage": usage_document(reply.usage),
    }
