"""Events from the engine's thread to an asyncio loop: one call of the loop a step, however many replies it has."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable

from honed.runtime.engine_thread import ReaderGone
from honed.runtime.events import Event

Receive = Callable[[list[Event], float], None]
"""Takes events of a reply in the loop's thread, with the time when they came, of time.perf_counter."""


class LoopDelivery:
    """Of one loop. `put` and `flush` are for the engine's thread, and never wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # the one who is asked for the delivery of a loop holds it no longer than that
        self._waiting: deque[tuple[Receive, list[Event], float]] = deque()
        self._called = False

    def put(self, receive: Receive, events: list[Event]) -> None:
        """Keeps events until `flush`. A closed loop: ReaderGone."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            raise ReaderGone
        self._waiting.append((receive, events, time.perf_counter()))

    def flush(self) -> None:
        """Has the loop take what is there, soon."""
        loop = self._loop()
        if self._called or not self._waiting or loop is None:
            return
        self._called = True
        try:
            loop.call_soon_threadsafe(self._take)
        except RuntimeError:  # closed just now: the requests end with their next event
            self._waiting.clear()

    def _take(self) -> None:
        # First this: what comes from now on asks for another call, or is taken by this one.
        self._called = False
        waiting = self._waiting
        while waiting:
            receive, events, at = waiting.popleft()
            receive(events, at)
