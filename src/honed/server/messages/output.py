"""The state of a message: its blocks as they grow, and the events that tell of it.

Streamed and whole replies are made of the same state. Order and names of events follow Anthropic's reference of
streaming messages. Not here: bytes (`stream.py`).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from honed.server.arguments import Arguments
from honed.server.exchange import (
    Admitted,
    Delta,
    Ended,
    Quiet,
    ReasoningDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Usage,
)
from honed.server.request_body import Object

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@dataclass
class _Block:
    """The block that is being written."""

    index: int
    value: Object
    pieces: list[str] = field(default_factory=list)
    arguments: Arguments = field(default_factory=Arguments)

    @property
    def kind(self) -> str:
        return str(self.value["type"])


class Output:
    """One message; `take` for each delta."""

    def __init__(self, identifier: str, model: str, *, show_thinking: bool = True) -> None:
        """show_thinking: see `reading.Asked`."""
        self._show_thinking = show_thinking
        self._open: _Block | None = None
        self._begun = False
        self.message: Object = {
            "id": identifier,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(Usage(0)),
        }

    def take(self, delta: Delta) -> list[Object]:
        """The events that a delta leads to."""
        match delta:
            case Admitted():
                return self._begin(delta.usage)
            case TextDelta() if delta.text:
                return self._more({"type": "text", "text": ""}, "text", delta.text)
            case ReasoningDelta() if delta.text:
                return self._more({"type": "thinking", "thinking": "", "signature": ""}, "thinking", delta.text)
            case ToolCallBegun():
                # Clients of this API know calls by such names; the rest is that of the call.
                identifier = f"toolu_{delta.identifier.removeprefix('call_')}"
                block = {"type": "tool_use", "id": identifier, "name": delta.name, "input": {}}
                return [*self._close(), self._new(block)]
            case ToolCallDelta() if delta.arguments:
                return self._arguments(delta.arguments)
            case Ended():
                return self._end(delta)
            case Quiet(comment=False):
                return [{"type": "ping"}]
        return []

    def _begin(self, usage: Usage) -> list[Object]:
        if self._begun:
            return []
        self._begun = True
        self.message["usage"] = usage_of(usage)
        return [{"type": "message_start", "message": {**self.message, "content": []}}]

    def _new(self, value: Object) -> Object:
        self._open = _Block(len(self.message["content"]), value)
        return {"type": "content_block_start", "index": self._open.index, "content_block": dict(value)}

    def _more(self, empty: Object, name: str, text: str) -> list[Object]:
        """More text of a block of this kind, which is begun where another one stands open, or none."""
        events: list[Object] = []
        if self._open is None or self._open.kind != empty["type"]:
            events = [*self._close(), self._new(empty)]
        assert self._open is not None
        self._open.pieces.append(text)
        if name == "text" or self._show_thinking:
            events.append(self._delta({"type": f"{name}_delta", name: text}))
        return events

    def _arguments(self, fragment: str) -> list[Object]:
        if self._open is None or self._open.kind != "tool_use":
            return []
        if not self._open.arguments.add(fragment):
            return []
        return [self._delta({"type": "input_json_delta", "partial_json": fragment})]

    def _delta(self, delta: Object) -> Object:
        assert self._open is not None
        return {"type": "content_block_delta", "index": self._open.index, "delta": delta}

    def _close(self) -> list[Object]:
        block = self._open
        if block is None:
            return []
        text, events = "".join(block.pieces), []
        match block.kind:
            case "text":
                block.value["text"] = text
            case "thinking":
                signature = _signature(text)
                block.value.update(thinking=text if self._show_thinking else "", signature=signature)
                events.append(self._delta({"type": "signature_delta", "signature": signature}))
            case _:
                block.value["input"] = block.arguments.value
        events.append({"type": "content_block_stop", "index": block.index})
        self.message["content"].append(block.value)
        self._open = None
        return events

    def _end(self, ended: Ended) -> list[Object]:
        events = self._close()
        reason = "stop_sequence" if ended.reason == "stop" and ended.stop else _REASONS[ended.reason]
        sequence = ended.stop if reason == "stop_sequence" else None
        self.message.update(stop_reason=reason, stop_sequence=sequence, usage=usage_of(ended.usage))
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        events.append({"type": "message_delta", "delta": delta, "usage": self.message["usage"]})
        events.append({"type": "message_stop"})
        return events


def usage_of(usage: Usage) -> Object:
    """Counts in the form of this API, in which `input_tokens` are those that were not found in the cache."""
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _signature(thinking: str) -> str:
    """What clients send back beside thinking, and nobody here asks for: the same for the same text."""
    return base64.b64encode(hashlib.sha256(thinking.encode("utf-8", "replace")).digest()).decode()
