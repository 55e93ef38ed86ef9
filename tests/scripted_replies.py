"""A service of deltas that a test says, and an app with some routes over it, as the server's own app puts them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from honed.errors import HonedError
from honed.server.errors import Dialects, Renderer, fault_of
from honed.server.exchange import (
    Admitted,
    ChatCall,
    Delta,
    Ended,
    Quiet,
    ReasoningDelta,
    StopReason,
    TextCall,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Usage,
)
from honed.server.fields import fault_of_validation

Script = Sequence[Delta | Exception]
CREATED = 1_700_000_000


def answer(
    *deltas: Delta, reason: StopReason = "stop", stop: str | None = None, usage: Usage | None = None
) -> list[Delta]:
    """A reply: what is said, between its admission and its end."""
    end = usage or Usage(7, 3, 5, 2)
    return [Admitted(Usage(end.prompt)), *deltas, Ended(0, reason, end, stop)]


def call(number: int, name: str, *fragments: str) -> list[Delta]:
    """A call of a tool, in fragments."""
    identifier = f"call_{number:024d}"
    return [ToolCallBegun(0, number, identifier, name), *(ToolCallDelta(0, number, part) for part in fragments)]


class ScriptedReply:
    """Gives deltas, one batch after the other; an exception among them is raised."""

    model = "tiny"
    created = CREATED

    def __init__(self, script: Script, batch: int = 1) -> None:
        self._left = list(script)
        self._batch = batch
        self.closed = False
        self.usage = Usage(0)

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self

    async def __anext__(self) -> Delta:
        if not (found := await self.ready()):
            raise StopAsyncIteration
        return found[0]

    async def ready(self) -> list[Delta]:
        await asyncio.sleep(0)
        found: list[Delta] = []
        while self._left and len(found) < self._batch:
            first = self._left[0]
            if isinstance(first, Exception):
                if not found:
                    raise first
                break
            found.append(first)
            del self._left[0]
        return found

    async def aclose(self) -> None:
        self.closed = True


class ScriptedService:
    """Answers every call alike, and keeps the calls. An exception at the beginning of the script is that of `open`."""

    registry: Any = None

    def __init__(self, script: Script, *, batch: int = 1) -> None:
        self._script = script
        self._batch = batch
        self.calls: list[ChatCall | TextCall] = []
        self.replies: list[ScriptedReply] = []

    async def open(self, call: ChatCall | TextCall, *, key: str = "", request_id: str = "") -> ScriptedReply:
        self.calls.append(call)
        if self._script and isinstance(self._script[0], Exception):
            raise self._script[0]
        self.replies.append(ScriptedReply(self._script, self._batch))
        return self.replies[-1]

    async def open_all(self, calls: Sequence[TextCall], *, key: str = "", request_id: str = "") -> ScriptedReply:
        raise NotImplementedError

    async def count_tokens(self, call: ChatCall | TextCall) -> int:
        self.calls.append(call)
        return 7

    async def encode(self, model: str, text: str, *, add_special: bool = True) -> list[int]:
        raise NotImplementedError

    async def decode(self, model: str, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        raise NotImplementedError

    async def render(self, call: ChatCall) -> str:
        raise NotImplementedError


def app_of(router: APIRouter, dialects: Mapping[str, Renderer] | None = None) -> FastAPI:
    """The routes, with refusals in their dialect."""
    app = FastAPI()
    app.include_router(router)
    forms = Dialects(dialects)

    async def refuse(request: Request, error: Exception) -> Response:
        fault = fault_of_validation(error) if isinstance(error, RequestValidationError) else fault_of(error)
        body = forms.body(request.url.path, fault)
        return Response(body, fault.status, fault.headers, media_type="application/json")

    app.add_exception_handler(Exception, refuse)
    for kind in (RequestValidationError, HonedError):
        app.add_exception_handler(kind, refuse)
    return app


def scripts(*, reasons: Sequence[StopReason] = ("stop", "length", "tool_calls")) -> st.SearchStrategy[list[Delta]]:
    """Any reply of one choice: reasoning, text and calls in any order, with pauses between them."""
    texts = st.text(max_size=5)
    pause = st.booleans().map(lambda comment: [Quiet(comment)])
    said: st.SearchStrategy[list[Delta]] = st.one_of(
        texts.map(lambda text: [TextDelta(0, text)]),
        texts.map(lambda text: [ReasoningDelta(0, text)]),
        pause,
        st.lists(st.sampled_from(['{"a"', ": 1", "}", "", ', "b": "x'])).map(lambda parts: call(0, "look", *parts)),
    )
    return st.builds(_numbered, st.lists(said, max_size=8), st.sampled_from(reasons), st.sampled_from([None, "\n"]))


def _numbered(pieces: list[list[Delta]], reason: StopReason, stop: str | None) -> list[Delta]:
    number = -1
    deltas: list[Delta] = []
    for delta in (delta for piece in pieces for delta in piece):
        match delta:
            case ToolCallBegun():
                number += 1
                deltas.append(ToolCallBegun(0, number, f"call_{number:024d}", delta.name))
            case ToolCallDelta():
                deltas.append(ToolCallDelta(0, number, delta.arguments))
            case _:
                deltas.append(delta)
    return answer(*deltas, reason=reason, stop=stop)
