"""What a request may weigh, and what kind it must be, before anybody reads it.

The body is read here, up to the limit and no further, and given to the routes as one message. Not here: limits of what
is asked for (tokens, queue), which the service knows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from honed.server.asgi import App, Message, Receive, Scope, Send, header, refuse
from honed.server.errors import Dialects, Fault

HEADER_BYTES = 64 << 10
SILENT_SECONDS = 30.0
"""A client that sends a body may pause for so long."""
SLOWEST = 1024
"""Bytes a second that a body must come with, after the first `SILENT_SECONDS`: who sends a byte every half minute would
stay for ever."""
MOST_HELD = 256 << 20
"""Bytes of all bodies that are being read and answered, or four of the largest ones where that is more."""
_ANY_TYPE = ("/api/",)
"""Prefixes of routes whose clients send JSON without saying so."""


class BodyLimit:
    """413 as soon as a body is over the limit, said or sent; 415 for another type than JSON; 408 for one that stalls or
    trickles; 431 for headers beyond 64 KB; 503 while the bodies of all requests together are too much to hold."""

    def __init__(self, app: App, dialects: Dialects, most: int) -> None:
        self._app = app
        self._dialects = dialects
        self._most = most
        self._most_held = max(MOST_HELD, 4 * most)
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of bodies that are in memory now."""
        return self._held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = _Held()
        try:
            await self._bounded(scope, receive, send, held)
        finally:
            self._held -= held.bytes

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, held: _Held) -> None:
        fault = self._headers(scope)
        body = b""
        if fault is None and scope["method"] not in ("GET", "HEAD"):
            found = await self._read(receive, held)
            if found is None:
                return  # the client has gone
            if isinstance(found, Fault):
                fault = found
            else:
                body = found
                fault = _type_of(scope, body)
                if fault is not None:
                    await refuse(scope, send, self._dialects, fault)
                    return
        if fault is not None:
            await refuse(scope, send, self._dialects, fault, close=True)
            return
        given = False

        async def whole() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        if scope["path"].startswith(_ANY_TYPE):
            others = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope = {**scope, "headers": [*others, (b"content-type", b"application/json")]}
        await self._app(scope, whole, send)

    def _headers(self, scope: Scope) -> Fault | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            return Fault(status=431, message=f"the headers are over {HEADER_BYTES} bytes", code="headers_too_large")
        length = header(scope, b"content-length")
        if length is not None and (not length.isdecimal() or int(length[:20]) > self._most):
            return self._too_large()
        return None

    async def _read(self, receive: Receive, held: _Held) -> bytes | Fault | None:
        pieces: list[bytes] = []
        size = 0
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            due = min(clock(), began + size / SLOWEST) + SILENT_SECONDS
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                return Fault(status=408, message="the body came too slowly: send it at once", code="body_too_slow")
            if message["type"] == "http.disconnect":
                return None
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self._most:
                return self._too_large()
            held.bytes += len(piece)
            self._held += len(piece)
            if self._held > self._most_held:
                return Fault(
                    status=503, message="too many large requests at once; try again later", code="busy", retry_after=5
                )
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    def _too_large(self) -> Fault:
        return Fault(
            status=413,
            message=f"the body is over {self._most} bytes, which is the limit of this server (--max-body)",
            code="body_too_large",
        )


@dataclass
class _Held:
    """What one request holds."""

    bytes: int = 0


def _type_of(scope: Scope, body: bytes) -> Fault | None:
    path: str = scope["path"]
    if not body or path.startswith(_ANY_TYPE):
        return None
    given = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if given == "application/json" or (given.startswith("application/") and given.endswith("+json")):
        return None
    return Fault(status=415, message="the body must be JSON: send Content-Type: application/json", code="not_json")
