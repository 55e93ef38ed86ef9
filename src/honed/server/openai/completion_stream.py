"""Completions as server-sent events."""

from __future__ import annotations

from typing import Any

from honed.server.exchange import Delta, Ended, Quiet, ReasoningDelta, TextDelta, TokenLogprob
from honed.server.fields import compact
from honed.server.openai.chunk_stream import ChunkStream, json_string
from honed.server.openai.logprobs import completion_logprobs
from honed.server.openai.usage import finish_reason
from honed.server.service import Reply
from honed.server.stream import COMMENT


class CompletionStream(ChunkStream):
    """Writes the deltas of one reply."""

    kind = "text_completion"

    def __init__(self, reply: Reply, identifier: str, *, logprobs: bool, usage: bool, usage_always: bool) -> None:
        super().__init__(reply, identifier, logprobs=logprobs, usage=usage, usage_always=usage_always)
        self._offsets: dict[int, int] = {}

    def event(self, delta: Delta) -> str:
        match delta:
            case TextDelta() | ReasoningDelta():
                return self._chunk(delta.index, delta.text, tokens=delta.tokens)
            case Ended():
                return self._chunk(delta.index, "", finish=f'"{finish_reason(delta.reason)}"')
            case Quiet():
                return COMMENT.decode() if delta.comment else self._chunk(0, "")
        # Completions have no event of their own for the rest, and a comment says as much as an empty chunk.
        return ": queued\n\n"

    def _chunk(self, index: int, text: str, *, finish: str = "null", tokens: tuple[TokenLogprob, ...] = ()) -> str:
        told: Any = None
        if self.logprobs and tokens:
            told, self._offsets[index] = completion_logprobs(tokens, self._offsets.get(index, 0))
        return self.chunk(index, f'"text":{json_string(text)}', logprobs=compact(told), finish=finish)
