"""The end of a server: no new work, running replies go on to their end or to the limit."""

from __future__ import annotations

import asyncio

from honed.server.asgi import App, Receive, Scope, Send, refuse
from honed.server.errors import Dialects, Fault

WATCHED = frozenset({"/health", "/live", "/metrics", "/stats", "/"})
"""What is answered to the end."""


class Drain:
    """Whether the server is ending, and how many requests it is still about."""

    def __init__(self) -> None:
        self.draining = False
        self._running = 0
        self._none = asyncio.Event()
        self._none.set()

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running

    def began(self) -> None:
        """One more."""
        self._running += 1
        self._none.clear()

    def ended(self) -> None:
        """One less."""
        self._running -= 1
        if not self._running:
            self._none.set()

    async def wait(self, seconds: float) -> bool:
        """Until nothing runs, at most so long; whether that is so."""
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            return False
        return True


class DrainCheck:
    """503 for new work while the server is ending."""

    def __init__(self, app: App, dialects: Dialects, drain: Drain) -> None:
        self._app = app
        self._dialects = dialects
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self._app(scope, receive, send)
            return
        if self._drain.draining:
            fault = Fault(status=503, message="the server is shutting down", code="draining", retry_after=10)
            await refuse(scope, send, self._dialects, fault, close=True)
            return
        self._drain.began()
        try:
            await self._app(scope, receive, send)
        finally:
            self._drain.ended()
