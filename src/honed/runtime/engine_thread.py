"""The one thread that owns an engine: requests come in from any thread, events go out to sinks.

Not here: what a request computes (`runtime/engine.py`), and text, which is made in the threads of those who read it
(`api/`): nothing that a reader does holds up a step.
"""

from __future__ import annotations

import copy
import os
import sys
import threading
import time
from _queue import Empty, SimpleQueue  # what queue.py takes it from, without what it imports beside
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from honed.errors import HonedError, MachineError
from honed.runtime.events import Event, Failed, Finished, Queued
from honed.runtime.owned_thread import OwnedThread

if TYPE_CHECKING:
    from honed.runtime.engine import Engine
    from honed.runtime.request import Request

Sink = Callable[[list[Event]], None]
"""Takes the events of one request, in order: first Queued, and at the end one Finished or Failed. Called on the
engine's thread, once a step, so it must not wait. One that raises ends its request, and what it raised is printed,
unless that is ReaderGone."""

_CLOSED = "the engine has been closed and takes no more requests"
_NOTED_SECONDS = 0.1
"""Between two snapshots of the engine's statistics while it runs."""


class EngineError(MachineError):
    """The backend failed in the middle of a step, so that the requests that ran in it ended without their fault."""


class ReaderGone(Exception):  # noqa: N818 - no fault of anybody
    """Raised by a sink whose events nobody can read any more: its request ends."""


class Ticket:
    """A request that was handed in."""

    __slots__ = ("after", "request", "request_id", "sink")

    def __init__(self, request: Request, sink: Sink, after: Callable[[], None] | None = None) -> None:
        """`after` is called on the engine's thread when all sinks of a step have been called, once for all tickets that
        have the same one: for who passes the events of many requests on together."""
        self.request = request
        self.sink = sink
        self.after = after
        self.request_id: int | None = None
        """The engine's, while the request is in it."""


class EngineThread:
    """Runs an engine, which nobody else may use from then on but to read its fixed properties.

    All methods may be called from any thread, and none but `close` waits. The thread starts with the first request,
    waits without cost while there is none, and ends with `close`, with this object, or with the process. It belongs to
    the process that made it: in one that was forked later nothing may be called but `close` and `abort`, which do
    nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._worker = _Worker(engine)
        self._starting = threading.Lock()
        self._thread: OwnedThread | None = None
        self._process = os.getpid()

    @property
    def alive(self) -> bool:
        """Whether requests are still taken: not closed, and the backend has not failed for good."""
        return self._worker.ended is None and not self._worker.closing

    @property
    def idle(self) -> bool:
        """Whether all that was handed in has ended. What is handed in just now may not be counted yet."""
        return self._worker.idle and self._worker.waits_for_nothing

    def statistics(self) -> Any:
        """The engine's own snapshot, as it was a moment ago; None where it keeps none."""
        return self._worker.statistics

    def submit(self, request: Request, sink: Sink, after: Callable[[], None] | None = None) -> Ticket:
        """Hands one request in; `submit_all` of it."""
        ticket = Ticket(request, sink, after)
        self.submit_all([ticket])
        return ticket

    def submit_all(self, tickets: Sequence[Ticket]) -> None:
        """Hands requests in together, so that they are in the same step if there is room.

        What can never run is refused here, all of it: ParameterError. Where the thread has ended: EngineError. What the
        engine refuses for the state that it is in, as a full queue, comes as Failed of request -1.
        """
        for ticket in tickets:
            self._worker.check(ticket.request)
        self._start()
        self._worker.put(list(tickets))

    def abort(self, ticket: Ticket) -> None:
        """Ends a request at the next step, which reports it. One that has ended is left alone.

        May be called at any point of any thread, in a finalizer too.
        """
        if os.getpid() == self._process:
            self._worker.put(_Abort(ticket))

    def close(self, *, drain: bool = False) -> None:
        """Takes no more requests and waits for the end of the thread: of all that were handed in (drain), or of the
        step that is running, after which the others end with finish reason abort. Closing twice does no harm."""
        if os.getpid() != self._process:
            return
        with self._starting:
            self._worker.put(_Close(drain))
            thread = self._thread
            if thread is None:
                self._worker.run()  # nothing was ever handed in
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        with self._starting:
            self._worker.require_open()
            if self._thread is None:
                worker = self._worker
                stop = partial(worker.put, _Close(drain=False))
                self._thread = OwnedThread(self, worker.run, stop, "honed-engine")


class _Abort:
    __slots__ = ("ticket",)

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket


class _Close:
    __slots__ = ("drain",)

    def __init__(self, drain: bool) -> None:
        self.drain = drain


_Command = list[Ticket] | _Abort | _Close


class _Worker:
    """What the thread runs. Everything but `put` and what others read belongs to it."""

    def __init__(self, engine: Engine) -> None:
        self.ended: HonedError | None = None
        """Why no more is taken."""
        self.closing = False
        self.idle = True
        self.statistics: Any = None
        self._engine: Engine | None = engine
        # Its `put` may be called in a finalizer that breaks into another `put`, which a lock of ours could not bear.
        self._commands: SimpleQueue[_Command] = SimpleQueue()
        self._tickets: dict[int, Ticket] = {}
        self._failed = False
        """Whether the last step failed."""
        self._noted = 0.0

    def require_open(self) -> None:
        """Raises why no more is taken."""
        if self.ended is not None:
            raise _again(self.ended)
        if self.closing:
            raise EngineError(_CLOSED)

    @property
    def waits_for_nothing(self) -> bool:
        """Whether all commands were taken."""
        return self._commands.empty()

    def check(self, request: Request) -> None:
        """Errors: those of `Engine.check`, and why no more is taken."""
        engine = self._engine
        if engine is None:
            self.require_open()
        else:
            engine.check(request)

    def put(self, command: _Command) -> None:
        """Has a command done before the next step. May be called at any point of any thread."""
        self._commands.put(command)
        if self.ended is not None:  # perhaps before the command was there: nobody else answers it
            self._refuse_rest(self.ended)

    def run(self) -> None:
        """Until it is closed, or the backend fails twice in a row."""
        why: HonedError = EngineError(_CLOSED)
        try:
            while self._receive():
                if not self._running.idle:
                    self._step()
        except BaseException as fault:
            why = _explained(fault)
        self.ended = why
        for ticket in self._tickets.values():
            self._deliver(ticket, [Failed(ticket.request_id or 0, _again(why))])
        self._tickets.clear()
        self._refuse_rest(why)
        self.idle = True
        self._engine = None  # who still holds a stream does not hold the weights

    @property
    def _running(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def _receive(self) -> bool:
        """Takes what has come, and waits where there is nothing else to do; whether to go on."""
        commands = self._commands
        if self._running.idle and commands.empty():
            self._note()
            self.idle = True
            if self.closing:
                return False
            self._take(commands.get())
        while not commands.empty():
            self._take(commands.get())
        return True

    def _take(self, command: _Command) -> None:
        match command:
            case _Abort():
                if command.ticket.request_id is not None:
                    self._running.abort(command.ticket.request_id)
            case _Close():
                self.closing = True
                if not command.drain:
                    for request_id in self._tickets:
                        self._running.abort(request_id)
            case _:
                self.idle = False
                for ticket in command:
                    self._add(ticket)
                _call_each(ticket.after for ticket in command)

    def _add(self, ticket: Ticket) -> None:
        if self.closing:
            self._deliver(ticket, [Failed(-1, EngineError(_CLOSED))])
            return
        try:
            request_id = self._running.add(ticket.request)
        except Exception as error:
            self._deliver(ticket, [Failed(-1, error)])
            return
        ticket.request_id = request_id
        self._tickets[request_id] = ticket
        self._deliver(ticket, [Queued(request_id)])

    def _step(self) -> None:
        try:
            events = self._running.step()
        except BaseException as fault:
            why = _explained(fault)
            self._empty(why)
            if self._failed:
                raise why from None
            self._failed = True
            return
        self._failed = False
        grouped: dict[int, list[Event]] = {}
        for event in events:
            if (own := grouped.get(event.request_id)) is None:
                grouped[event.request_id] = [event]
            else:
                own.append(event)
        told = []
        for request_id, own in grouped.items():
            if (ticket := self._tickets.get(request_id)) is not None:
                if isinstance(own[-1], Finished | Failed):
                    self._forget(ticket)
                self._deliver(ticket, own)
                told.append(ticket)
        _call_each(ticket.after for ticket in told)
        if time.monotonic() > self._noted + _NOTED_SECONDS:
            self._note()

    def _empty(self, why: HonedError) -> None:
        """Ends every request with an error."""
        tickets = list(self._tickets.values())
        for ticket in tickets:
            request_id = ticket.request_id
            assert request_id is not None
            self._running.abort(request_id)
            self._forget(ticket)
            self._deliver(ticket, [Failed(request_id, _again(why))])
        _call_each(ticket.after for ticket in tickets)
        self._running.step()  # reports the aborted ones, and runs nothing

    def _forget(self, ticket: Ticket) -> None:
        if ticket.request_id is not None:
            self._tickets.pop(ticket.request_id, None)
            ticket.request_id = None

    def _deliver(self, ticket: Ticket, events: list[Event]) -> None:
        try:
            ticket.sink(events)
        except Exception as error:
            if ticket.request_id is not None:
                self._running.abort(ticket.request_id)
                self._forget(ticket)
            if not isinstance(error, ReaderGone):
                sys.excepthook(type(error), error, error.__traceback__)  # a fault of who reads, which must be seen

    def _refuse_rest(self, why: HonedError) -> None:
        while True:
            try:
                command = self._commands.get(block=False)
            except Empty:
                return
            if isinstance(command, list):
                for ticket in command:
                    self._deliver(ticket, [Failed(-1, _again(why))])
                _call_each(ticket.after for ticket in command)

    def _note(self) -> None:
        statistics = getattr(self._running, "statistics", None)
        if statistics is not None:
            self.statistics = statistics()
        self._noted = time.monotonic()


def _call_each(functions: Iterable[Callable[[], None] | None]) -> None:
    for function in dict.fromkeys(functions):
        if function is not None:
            function()


def _explained(fault: BaseException) -> HonedError:
    """What requests end with when a step fails. What is not expected may speak of addresses and paths, and is left to
    the cause."""
    if isinstance(fault, HonedError):
        return fault
    if isinstance(fault, MemoryError):
        found = EngineError("there is not enough memory for a step of the model; a smaller context needs less")
    else:
        found = EngineError(
            f"the model failed in the middle of a step ({type(fault).__name__}); ask again, and load it again if that "
            "fails too"
        )
    found.__cause__ = fault
    return found


def _again(error: HonedError) -> HonedError:
    """The same error for another thread: each adds where it was raised."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    return made
