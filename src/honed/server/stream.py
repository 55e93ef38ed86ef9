"""Replies that come in pieces, written to the connection as they are made; and replies that come whole.

Either way the request ends when the client goes: the events are closed, and with them what makes them. Not here: what
an event looks like, which the dialects know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from honed.server.errors import Fault, RequestError

T = TypeVar("T")
Message = MutableMapping[str, Any]
EVENT_STREAM = "text/event-stream"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
COMMENT = b": waiting\n\n"
"""What an SSE stream sends so that no proxy takes it for dead."""


class Closable(Protocol):
    """What an event stream is made of."""

    async def aclose(self) -> None:
        """Ends it."""


class EventStream(Response):
    """An ASGI response of bytes as an iterator gives them, each sent at once.

    The iterator is closed when it ends, when the client goes, and when the server stops. It must not raise: a dialect
    writes errors as its own event.
    """

    def __init__(
        self, events: AsyncIterator[bytes], media_type: str = EVENT_STREAM, *, reply: Closable | None = None
    ) -> None:
        """reply: what the events are made of, closed with them, even where the client goes before the first one."""
        self._events = events
        self._reply = reply
        self.background = None
        self.status_code = 200
        self.media_type = media_type
        self.init_headers(HEADERS)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Sends it all."""
        writer = asyncio.ensure_future(self._write(send))
        watch = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((writer, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            if not writer.done():
                writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            if self._reply is not None:
                await self._reply.aclose()

    async def _write(self, send: Callable[[Message], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        events: Any = self._events
        async with aclosing(events):
            async for data in events:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone(request: Request, work: Awaitable[T], *, reply: Closable | None = None) -> T:
    """The result of `work`, which is cancelled when the client goes: RequestError then, which nobody reads. reply: is
    closed at the end, even where the work never began."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            with suppress(BaseException):
                await task
        if reply is not None:
            await reply.aclose()
    raise RequestError(Fault(status=499, message="the client closed the connection", code="request_cancelled"))


async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
