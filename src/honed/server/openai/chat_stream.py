"""A reply to a chat as server-sent events."""

from __future__ import annotations

from typing import Any

from honed.server.exchange import (
    Admitted,
    Delta,
    Ended,
    Quiet,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegun,
    ToolCallDelta,
)
from honed.server.fields import compact
from honed.server.openai.chunk_stream import ChunkStream, json_string
from honed.server.openai.logprobs import chat_logprobs
from honed.server.openai.usage import finish_reason
from honed.server.service import Reply
from honed.server.stream import COMMENT


class ChatStream(ChunkStream):
    """Writes the deltas of one reply. n: of its choices."""

    kind = "chat.completion.chunk"

    def __init__(
        self, reply: Reply, identifier: str, *, n: int, logprobs: bool, usage: bool, usage_always: bool
    ) -> None:
        super().__init__(reply, identifier, logprobs=logprobs, usage=usage, usage_always=usage_always)
        self._n = n

    def event(self, delta: Delta) -> str:
        match delta:
            case TextDelta():
                return self._chunk(delta.index, f'{{"content":{json_string(delta.text)}}}', tokens=delta.tokens)
            case ReasoningDelta():
                text = json_string(delta.text)
                return self._chunk(
                    delta.index, f'{{"reasoning_content":{text},"reasoning":{text}}}', tokens=delta.tokens
                )
            case ToolCallDelta():
                call = f'{{"index":{delta.number},"function":{{"arguments":{json_string(delta.arguments)}}}}}'
                return self._chunk(delta.index, f'{{"tool_calls":[{call}]}}')
            case ToolCallBegun():
                begun: dict[str, Any] = {
                    "index": delta.number,
                    "id": delta.identifier,
                    "type": "function",
                    "function": {"name": delta.name, "arguments": ""},
                }
                return self._chunk(delta.index, compact({"tool_calls": [begun]}))
            case Admitted():
                first = '{"role":"assistant","content":"","refusal":null}'
                return "".join(self._chunk(index, first) for index in range(self._n))
            case Ended():
                return self._chunk(delta.index, "{}", finish=f'"{finish_reason(delta.reason)}"')
            case Quiet():
                return COMMENT.decode() if delta.comment else self._chunk(0, "{}")

    def _chunk(self, index: int, delta: str, *, finish: str = "null", tokens: tuple[TokenLogprob, ...] = ()) -> str:
        logprobs = compact(chat_logprobs(tokens)) if self.logprobs and tokens else "null"
        return self.chunk(index, f'"delta":{delta}', logprobs=logprobs, finish=finish)
