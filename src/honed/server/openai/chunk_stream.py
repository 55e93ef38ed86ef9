"""A reply as OpenAI's server-sent events: what chats and completions have in common.

The bytes of a chunk are put together around its varying part: a stream is the costly path of a server, and most of a
chunk never changes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from honed.server.errors import fault_of, openai_error
from honed.server.exchange import Delta
from honed.server.fields import compact
from honed.server.openai.usage import usage_document
from honed.server.service import Reply

DONE = b"data: [DONE]\n\n"
json_string = json.encoder.encode_basestring_ascii
"""A text as JSON."""


class ChunkStream(ABC):
    """Writes the deltas of one reply."""

    kind: str
    """The `object` of each chunk."""

    def __init__(self, reply: Reply, identifier: str, *, logprobs: bool, usage: bool, usage_always: bool) -> None:
        """logprobs: whether chunks tell of them. usage: whether counts are told at the end, usage_always: in each chunk
        too."""
        self._reply = reply
        self._usage = usage
        self._usage_always = usage_always
        self.logprobs = logprobs
        begin = {
            "id": identifier,
            "object": self.kind,
            "created": reply.created,
            "model": reply.model,
            "system_fingerprint": None,
        }
        self._head = f"data: {compact(begin)[:-1]}"
        self._tail = ',"usage":null}\n\n' if usage else "}\n\n"

    async def events(self) -> AsyncIterator[bytes]:
        """All of it, an error on the way included, up to [DONE]."""
        reply = self._reply
        try:
            while deltas := await reply.ready():
                yield "".join([self.event(delta) for delta in deltas]).encode()
            if self._usage:
                whole = compact(usage_document(reply.usage))
                yield f'{self._head},"choices":[],"usage":{whole}}}\n\n'.encode()
        except Exception as error:
            yield b"data: " + openai_error(fault_of(error)) + b"\n\n"
        finally:
            await reply.aclose()
        yield DONE

    @abstractmethod
    def event(self, delta: Delta) -> str:
        """What a delta is in the stream; never empty."""

    def chunk(self, index: int, content: str, *, logprobs: str, finish: str = "null") -> str:
        """A chunk with one choice. content: its field and value as JSON; logprobs and finish: values as JSON."""
        tail = self._tail
        if self._usage_always:
            tail = f',"usage":{compact(usage_document(self._reply.usage))}}}\n\n'
        return (
            f'{self._head},"choices":[{{"index":{index},{content},"logprobs":{logprobs},'
            f'"finish_reason":{finish}}}]{tail}'
        )
