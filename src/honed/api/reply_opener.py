"""Opens replies in asyncio loops for one model, and knows the loops."""

from __future__ import annotations

import asyncio
import time
import weakref
from functools import partial

from honed.api.async_reply import AsyncReply
from honed.api.loop_delivery import LoopDelivery
from honed.api.reply_text import ReplyText
from honed.api.shown_tokens import ShownTokens
from honed.runtime.engine_thread import EngineThread, Ticket
from honed.runtime.events import Event
from honed.runtime.request import Request


class ReplyOpener:
    """For one engine's thread. Loops may come and go, each in a thread of its own."""

    def __init__(self, thread: EngineThread, shown: ShownTokens) -> None:
        self._thread = thread
        self._shown = shown
        self._deliveries: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopDelivery] = (
            weakref.WeakKeyDictionary()
        )

    def open(self, request: Request, text: ReplyText) -> AsyncReply:
        """The reply to a request, in the loop that runs. Errors: those of `EngineThread.submit`."""
        loop = asyncio.get_running_loop()
        delivery = self._deliveries.get(loop)
        if delivery is None:
            delivery = self._deliveries[loop] = LoopDelivery(loop)
        ticket = Ticket(request, _ignore, delivery.flush)
        reply = AsyncReply(
            len(request.prompt), text, self._shown, partial(self._thread.abort, ticket), time.perf_counter()
        )
        # Not held from here: a reply that nobody holds any more ends its request.
        ticket.sink = partial(delivery.put, partial(_receive, weakref.ref(reply)))
        self._thread.submit_all([ticket])
        return reply


def _receive(reply: weakref.ref[AsyncReply], events: list[Event], at: float) -> None:
    found = reply()
    if found is not None:
        found.receive(events, at)


def _ignore(events: list[Event]) -> None:
    pass
