"""A reply and its stream. Not here: how prompts become tokens (`api/language_model.py`), and replies in an event loop
(`api/async_reply.py`).

The engine's thread leaves events in a `Mailbox`; text is made of them by the thread that reads.
"""

from __future__ import annotations

import time
from _queue import Empty, SimpleQueue  # what queue.py takes it from, without what it imports beside
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from honed.api.reply_text import ReplyText
from honed.records import dataclass
from honed.runtime.events import Event, Failed, Finished, Generated
from honed.runtime.request import FinishReason

POLL_SECONDS = 0.05
"""So long `TextStream.poll` waits for something new."""


@dataclass(frozen=True)
class Generation:
    """A finished reply.

    text: the completion only, cut before the stop string if one was met. tokens: every generated id, those of the
    stop string included, without the stop token. finish_reason: stop (end of turn or stop string), length
    (max_tokens or the context), abort (the stream was closed). prompt_tokens: length of the prompt.
    first_token_seconds: from the call to the first token; None without one. seconds: from the call to the last token.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    first_token_seconds: float | None
    seconds: float

    @property
    def decode_tokens_per_second(self) -> float | None:
        """Rate of the tokens after the first; None for fewer than two."""
        if self.first_token_seconds is None or len(self.tokens) < 2 or self.seconds <= self.first_token_seconds:
            return None
        return (len(self.tokens) - 1) / (self.seconds - self.first_token_seconds)


class Mailbox:
    """Events of one request on their way from the engine's thread to one that reads, with the time when they came, of
    time.perf_counter."""

    def __init__(self) -> None:
        self._delivered: SimpleQueue[list[tuple[float, list[Event]]]] = SimpleQueue()
        self._kept: list[tuple[float, list[Event]]] = []
        self.whole = False
        """Whether the reader waits for the end: it is not woken before, which spares a step of one stream some 30 us.
        """

    def put(self, events: list[Event]) -> None:
        """For the engine's thread: never waits."""
        self._kept.append((time.perf_counter(), events))
        if not self.whole or isinstance(events[-1], Finished | Failed):
            kept, self._kept = self._kept, []
            self._delivered.put(kept)

    def take(self, seconds: float | None) -> list[tuple[float, list[Event]]]:
        """What has come; waits so long if that is nothing, None: until something comes. One thread calls it."""
        try:
            found = self._delivered.get(block=seconds != 0, timeout=seconds)
        except Empty:
            return []
        while not self._delivered.empty():
            found += self._delivered.get()
        return found


class Reply:
    """Collects one request's events into text. `started` is the time of the call, of time.perf_counter."""

    def __init__(self, prompt_tokens: int, text: ReplyText, started: float) -> None:
        self._prompt_tokens = prompt_tokens
        self._made = text
        self._started = started
        self._first: float | None = None
        self._last = started
        self._tokens: list[int] = []
        self._text: list[str] = []
        self._unread: list[str] = []
        self.generation: Generation | None = None
        self.error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether no event will come any more."""
        return self.generation is not None or self.error is not None

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met, so that the request need not go on."""
        return self._made.matched is not None

    def read(self) -> str:
        """Text that came since the last call."""
        text = "".join(self._unread)
        self._unread.clear()
        return text

    def handle(self, event: Event, at: float) -> None:
        """Takes an event of this request that came at a time of time.perf_counter; after the end none counts."""
        if self.ended:
            return
        match event:
            case Generated(token=token):
                self._last = at
                self._first = at if self._first is None else self._first
                self._tokens.append(token)
                self._write(self._made.feed(token))
                if self.stopped:
                    self._end("stop")
            case Finished(_, reason):
                self._write(self._made.finish())
                self._end("stop" if self.stopped else reason)
            case Failed(_, error):
                self.error = error

    def _write(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._unread.append(text)

    def _end(self, reason: FinishReason) -> None:
        self.generation = Generation(
            text="".join(self._text),
            tokens=tuple(self._tokens),
            finish_reason=reason,
            prompt_tokens=self._prompt_tokens,
            first_token_seconds=None if self._first is None else self._first - self._started,
            seconds=self._last - self._started,
        )


class TextStream(Iterator[str]):
    """Pieces of a reply as they come; joined they are its text. Closing it early ends the request.

    The model goes on while nobody reads. One thread reads a stream.
    """

    def __init__(
        self, reply: Reply, mailbox: Mailbox, check: Callable[[], object], abort: Callable[[], None], whole: bool
    ) -> None:
        """check: raises where the model cannot be waited for, as in a process that was forked. abort: ends the request,
        wherever it is called. whole: whether nothing is gained by looking at tokens before the last one has come."""
        self._reply = reply
        self._mailbox = mailbox
        self._check = check
        self._abort = abort
        self._whole = whole

    def __next__(self) -> str:
        while (text := self._next(None)) == "":
            pass
        if text is None:
            raise StopIteration
        return text

    def poll(self) -> str | None:
        """Text that has come, else what comes next within a moment, "" if nothing does. None at the end.

        For who wants to do something else while no text comes: a long prompt takes a while.
        """
        return self._next(POLL_SECONDS)

    @property
    def generation(self) -> Generation | None:
        """The whole reply; None while it is not finished."""
        self._receive(0)
        return self._reply.generation

    def finish(self) -> Generation:
        """Waits for the end and returns the whole reply, what was read before included."""
        self._mailbox.whole = self._whole
        try:
            for _ in self:
                pass
        finally:
            self._mailbox.whole = False
        assert self._reply.generation is not None
        return self._reply.generation

    def close(self) -> None:
        """Ends the request if it runs; what came so far is then its generation, with finish reason abort."""
        self._receive(0)
        if not self._reply.ended:
            self._abort()
            self._reply.handle(Finished(-1, "abort"), time.perf_counter())

    def _next(self, seconds: float | None) -> str | None:
        """Text that was not read yet, after so long a wait if there is none; None at the end."""
        self._check()
        if text := self._reply.read():
            return text
        if self._reply.error is not None:
            raise self._reply.error
        if self._reply.ended:
            return None
        self._receive(seconds)
        return self._reply.read()

    def _receive(self, seconds: float | None) -> None:
        if self._reply.ended:
            return
        for at, events in self._mailbox.take(seconds):
            for event in events:
                self._reply.handle(event, at)
        if self._reply.stopped:
            self._abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A loop that was left early must not keep the request running beside later ones.
        if not self._reply.ended:
            self._abort()
