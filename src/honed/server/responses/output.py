"""The state of a response: its items as they grow, and the events that tell of it.

Streamed and whole replies are made of the same state. Order and names of events follow OpenAI's reference of Responses
streaming events, and what openai-python's `ResponseStreamState` accepts. Not here: bytes (`stream.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from honed.server.errors import Fault
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
from honed.server.openai.logprobs import chat_logprobs
from honed.server.request_body import Object
from honed.server.responses.items import sealed

Status = Literal["in_progress", "completed", "incomplete"]


@dataclass
class _Item:
    """The item that is being written: a message, reasoning, or a call of a function."""

    kind: Literal["message", "reasoning", "function_call"]
    index: int
    value: Object
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Object] = field(default_factory=list)

    @property
    def place(self) -> Object:
        return {"item_id": self.value["id"], "output_index": self.index}


class Output:
    """One response. `begin` first, then `take` for each delta, or `fail`."""

    def __init__(self, identifier: str, model: str, created: int, repeated: Object, *, seal: bool = False) -> None:
        """identifier: as resp_ and hexadecimal digits. repeated, seal: see `reading.Asked`."""
        self._identifier = identifier
        self._tail = identifier.removeprefix("resp_")
        self._seal = seal
        self._items: list[Object] = []
        self._open: _Item | None = None
        self._sequence = 0
        self._begun = False
        self._response: Object = {
            "id": identifier,
            "object": "response",
            "created_at": created,
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "usage": None,
            **repeated,
        }

    @property
    def response(self) -> Object:
        """As it is now."""
        return {**self._response, "output": list(self._items)}

    def take(self, delta: Delta) -> list[Object]:
        """The events that a delta leads to."""
        events = self._begin()
        match delta:
            case TextDelta():
                events += self._text(delta)
            case ReasoningDelta():
                events += self._reasoning(delta.text)
            case ToolCallBegun():
                events += [*self._close(), *self._open_call(delta)]
            case ToolCallDelta():
                events += self._arguments(delta.arguments)
            case Ended():
                events += self._end(delta)
            case Quiet(comment=False):
                events.append(self._event("response.in_progress", response=self.response))
            case Admitted() | Quiet():
                pass
        return events

    def fail(self, fault: Fault) -> list[Object]:
        """The response goes no further: its last event, with the items that were complete."""
        events = self._begin()
        code = "server_error" if fault.status >= 500 or fault.status == 499 else "invalid_prompt"
        code = "rate_limit_exceeded" if fault.status == 429 else code
        self._response.update(status="failed", error={"code": code, "message": fault.message})
        return [*events, self._event("response.failed", response=self.response)]

    def _begin(self) -> list[Object]:
        if self._begun:
            return []
        self._begun = True
        names = ("response.created", "response.in_progress")
        return [self._event(name, response=self.response) for name in names]

    def _event(self, kind: str, **fields: object) -> Object:
        number = self._sequence
        self._sequence += 1
        return {"type": kind, "sequence_number": number, **fields}

    def _new(self, kind: Literal["message", "reasoning", "function_call"], prefix: str, **fields: object) -> Object:
        index = len(self._items)
        value = {"id": f"{prefix}_{self._tail}{index}", "type": kind, "status": "in_progress", **fields}
        self._open = _Item(kind, index, value)
        return self._event("response.output_item.added", output_index=index, item=dict(value))

    def _writing(self, kind: Literal["message", "reasoning"]) -> tuple[_Item, list[Object]]:
        """The item that text of this kind belongs to, and the events that begin it."""
        found = self._open
        if found is not None and found.kind == kind:
            return found, []
        events = self._close()
        if kind == "message":
            events.append(self._new("message", "msg", role="assistant", content=[]))
        else:
            events.append(self._new("reasoning", "rs", summary=[], content=[]))
        found = self._open
        assert found is not None
        part = _part(found)
        events.append(self._event("response.content_part.added", **found.place, content_index=0, part=part))
        return found, events

    def _text(self, delta: TextDelta) -> list[Object]:
        if not delta.text and not delta.tokens:
            return []
        item, events = self._writing("message")
        logprobs = chat_logprobs(delta.tokens)["content"]
        item.pieces.append(delta.text)
        item.logprobs += logprobs
        place = {**item.place, "content_index": 0}
        events.append(self._event("response.output_text.delta", **place, delta=delta.text, logprobs=logprobs))
        return events

    def _reasoning(self, text: str) -> list[Object]:
        if not text:
            return []
        item, events = self._writing("reasoning")
        item.pieces.append(text)
        events.append(self._event("response.reasoning_text.delta", **item.place, content_index=0, delta=text))
        return events

    def _open_call(self, begun: ToolCallBegun) -> list[Object]:
        return [self._new("function_call", "fc", call_id=begun.identifier, name=begun.name, arguments="")]

    def _arguments(self, fragment: str) -> list[Object]:
        item = self._open
        if item is None or item.kind != "function_call" or not fragment:
            return []
        item.pieces.append(fragment)
        return [self._event("response.function_call_arguments.delta", **item.place, delta=fragment)]

    def _close(self, status: Status = "completed") -> list[Object]:
        item = self._open
        if item is None:
            return []
        self._open = None
        text = "".join(item.pieces)
        say: Callable[..., Object] = self._event
        events: list[Object] = []
        if item.kind == "function_call":
            item.value["arguments"] = text
            name = item.value["name"]
            events.append(say("response.function_call_arguments.done", **item.place, arguments=text, name=name))
        else:
            part, place = _part(item), {**item.place, "content_index": 0}
            item.value["content"] = [part]
            if item.kind == "message":
                events.append(say("response.output_text.done", **place, text=text, logprobs=item.logprobs))
            else:
                events.append(say("response.reasoning_text.done", **place, text=text))
                item.value["encrypted_content"] = sealed(text) if self._seal else None
            events.append(say("response.content_part.done", **place, part=part))
        item.value["status"] = status
        self._items.append(item.value)
        events.append(say("response.output_item.done", output_index=item.index, item=item.value))
        return events

    def _end(self, ended: Ended) -> list[Object]:
        cut = ended.reason == "length"
        events = self._close("incomplete" if cut else "completed")
        if not any(item["type"] != "reasoning" for item in self._items) and not (cut and self._items):
            _, begun = self._writing("message")  # clients look for a message, be it empty
            events += [*begun, *self._close("incomplete" if cut else "completed")]
        self._response.update(
            status="incomplete" if cut else "completed",
            completed_at=None if cut else int(time.time()),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            usage=usage_of(ended.usage),
        )
        events.append(self._event(f"response.{self._response['status']}", response=self.response))
        return events


def usage_of(usage: Usage) -> Object:
    """Counts in the form of this API."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


def _part(item: _Item) -> Object:
    text = "".join(item.pieces)
    if item.kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(item.logprobs)}
