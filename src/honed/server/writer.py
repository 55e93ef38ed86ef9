"""Deltas of a reply to the bytes of a dialect, streamed; and all of them for a reply that comes whole.

A dialect gives a `Writer`, which keeps what was said so far; here is what is alike in all: errors become the dialect's
event, no stream ends without its last one, and what is there at once goes out at once.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from honed.server.errors import Fault, RequestError, fault_of
from honed.server.exchange import Delta, Ended
from honed.server.service import Reply

CANCELLED = Fault(status=499, message="the request was cancelled", code="request_cancelled")
_CUT_OFF = Fault(status=500, message="the reply ended without its end", code="internal_error")


class Writer(Protocol):
    """One reply of one choice in the form of a dialect."""

    def write(self, delta: Delta) -> bytes:
        """What is sent for it, which may be nothing."""

    def fail(self, fault: Fault) -> bytes:
        """The event that says that the reply goes no further; the last that is sent."""


class Collector(Protocol):
    """What a whole reply is gathered in."""

    def take(self, delta: Delta) -> object: ...


C = TypeVar("C", bound=Collector)


class Written:
    """The bytes of a stream, one piece for all that is ready. Raises nothing but cancellation.

    Not a generator: closing one that was never begun would leave the reply running.
    """

    def __init__(self, reply: Reply, writer: Writer) -> None:
        self._reply = reply
        self._writer = writer
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            if data := await self._next():
                return data
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the reply, wherever it stands."""
        self._ended = True
        await self._reply.aclose()

    async def _next(self) -> bytes:
        pieces: list[bytes] = []
        try:
            deltas = await self._reply.ready()
            if not deltas:
                raise RequestError(_CUT_OFF)
            for delta in deltas:
                _require_running(delta)
                pieces.append(self._writer.write(delta))
                self._ended = self._ended or isinstance(delta, Ended)
        except Exception as error:  # of a request that is answered already: it has no status to be told by
            self._ended = True
            pieces.append(self._writer.fail(fault_of(error)))
        return b"".join(pieces)


async def collected(reply: Reply, collector: C) -> C:
    """Gives a collector all of a reply, and closes it. Errors: those of the reply, and RequestError for one that was
    cancelled."""
    ended = False
    try:
        while not ended and (deltas := await reply.ready()):
            for delta in deltas:
                _require_running(delta)
                collector.take(delta)
                ended = ended or isinstance(delta, Ended)
    finally:
        await reply.aclose()
    if not ended:
        raise RequestError(_CUT_OFF)
    return collector


def _require_running(delta: Delta) -> None:
    if isinstance(delta, Ended) and delta.reason == "abort":
        raise RequestError(CANCELLED)
