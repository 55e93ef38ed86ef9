"""A reply in an asyncio loop. Not here: the way of its events into the loop (`api/loop_delivery.py`), and what is asked
for (`LanguageModel.open_reply`).

Text is made in the loop's thread, when events come; a reader that takes its time finds it there and holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from honed.api.generation import Generation
from honed.api.reply_text import ReplyText
from honed.api.shown_tokens import ShownTokens
from honed.runtime.events import Event, Failed, Finished, Generated, PromptScored, Queued, Started

if TYPE_CHECKING:
    from honed.backends.base import Logprobs
    from honed.runtime.request import FinishReason


class PieceToken(NamedTuple):
    """A generated token. text: as it is shown alone, data: its bytes. logprobs: where the request asked for them."""

    token: int
    text: str
    data: bytes
    logprobs: Logprobs | None


class Piece(NamedTuple):
    """More of a reply. tokens: those whose text is complete with it; all together are those of the whole text, without
    those that reach into the stop string that ended it, unless that is part of the text."""

    text: str
    tokens: tuple[PieceToken, ...]


class AsyncReply:
    """One reply, piece by piece: `async for piece in reply`. Made by `LanguageModel.open_reply` for one event loop.

    The request ends when the reply is closed or no longer held, and when a task that waits for its next piece is
    cancelled; `wait` is how to wait with a limit. One task reads; any may wait for `queued` and `started`.
    """

    def __init__(
        self, prompt_tokens: int, text: ReplyText, shown: ShownTokens, abort: Callable[[], None], began: float
    ) -> None:
        """abort: ends the request, wherever it is called. began: the time of the call, of time.perf_counter."""
        self.prompt_tokens = prompt_tokens
        self.cached_tokens = 0
        """Tokens of the prompt that were found in the prefix cache, known once it has started."""
        self.tokens: list[int] = []
        """Every generated id, those of a stop string included, without the stop token."""
        self.finish_reason: FinishReason | None = None
        """None while it runs, or where it failed."""
        self.error: Exception | None = None
        self._text = text
        self._shown = shown
        self._abort = abort
        self._began = began
        self._first: float | None = None
        self._last = began
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._is_queued = False
        self._is_started = False
        self._scores: list[Logprobs] = []
        self._unread: list[str] = []
        self._unread_tokens: list[PieceToken] = []
        self._incomplete: deque[tuple[int, PieceToken]] = deque()
        """Tokens whose text is not given out yet, and how many characters must be."""
        self._whole: list[str] = []

    @property
    def ended(self) -> bool:
        """Whether nothing more comes than what can be read already."""
        return self.finish_reason is not None or self.error is not None

    @property
    def generated_tokens(self) -> int:
        """How many came so far."""
        return len(self.tokens)

    @property
    def matched_stop(self) -> str | None:
        """The stop string that ended the reply."""
        return self._text.matched

    @property
    def prompt_scores(self) -> tuple[Logprobs, ...]:
        """Of the positions of the prompt from the second on, as far as they are computed, where they were asked for."""
        return tuple(self._scores)

    @property
    def first_token_seconds(self) -> float | None:
        """From the call to the first token; None without one."""
        return None if self._first is None else self._first - self._began

    @property
    def generation(self) -> Generation:
        """What came so far as a whole; where it has not ended with finish reason abort."""
        return Generation(
            text="".join(self._whole),
            tokens=tuple(self.tokens),
            finish_reason=self.finish_reason or "abort",
            prompt_tokens=self.prompt_tokens,
            first_token_seconds=self.first_token_seconds,
            seconds=self._last - self._began,
        )

    async def queued(self) -> None:
        """Until the engine has taken the request. Raises its refusal."""
        while not self._is_queued:
            await self._wait()
        if self.error is not None and not self._is_started:
            raise self.error

    async def started(self) -> None:
        """Until the request is admitted: `cached_tokens` is known and the prompt is being computed. Raises what ended
        it before."""
        while not self._is_started and not self.ended:
            await self._wait()
        if self.error is not None and not self._is_started:
            raise self.error

    async def wait(self, seconds: float) -> bool:
        """Until there is something to read, or the end, or so much time has passed; whether there is."""
        deadline = self._loop.time() + seconds
        while not self._readable:
            left = deadline - self._loop.time()
            if left <= 0:
                return False
            await self._wait(left)
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        """All that has come since the last piece; waits if that is nothing. A fault of the request is raised after the
        text before it."""
        while not self._readable:
            try:
                await self._wait()
            except asyncio.CancelledError:
                self.abort()
                raise
        if self._unread or self._unread_tokens:
            piece = Piece("".join(self._unread), tuple(self._unread_tokens))
            self._unread.clear()
            self._unread_tokens.clear()
            return piece
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    def abort(self) -> None:
        """Ends the request, if it runs, with finish reason abort and the text that came so far."""
        if not self.ended:
            self._abort()
            self._finish("abort")
            self._wake()

    async def aclose(self) -> None:
        """`abort`."""
        self.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def __del__(self) -> None:
        if not self.ended:
            self._abort()

    def receive(self, events: list[Event], at: float) -> None:
        """Takes events, in the loop's thread; after the end none counts."""
        for event in events:
            if self.ended:
                return
            self._is_queued = True
            match event:
                case Generated(_, token, logprobs):
                    self._is_started = True
                    self._last = at
                    if self._first is None:
                        self._first = at
                    self._add(token, logprobs)
                case PromptScored(_, scores):
                    self._is_started = True
                    self._scores += scores
                case Started(_, cached):
                    self._is_started = True
                    self.cached_tokens = cached
                case Finished(_, reason):
                    self._finish(reason)
                case Failed(_, error):
                    self.error = error
                case Queued():
                    pass
        self._wake()

    @property
    def _readable(self) -> bool:
        return bool(self._unread or self._unread_tokens) or self.ended

    def _add(self, token: int, logprobs: Logprobs | None) -> None:
        made = self._text
        self.tokens.append(token)
        text = made.feed(token)
        # A token within a character is complete with it, so with one more character than there is.
        end = made.decoded + made.within_character
        self._incomplete.append((end, PieceToken(token, *self._shown[token], logprobs)))
        if made.matched is not None and not made.includes_stop:
            self._incomplete.pop()  # it completes the stop string, if only by being there, as control tokens do
        self._write(text)
        if made.matched is not None:
            self._abort()
            self._end("stop")

    def _finish(self, reason: FinishReason) -> None:
        self._write(self._text.finish())
        self._end("stop" if self._text.matched is not None else reason)

    def _end(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        if self._text.matched is None or self._text.includes_stop:
            self._unread_tokens += [token for _, token in self._incomplete]
        self._incomplete.clear()

    def _write(self, text: str) -> None:
        if text:
            self._unread.append(text)
            self._whole.append(text)
        shown, incomplete = self._text.shown, self._incomplete
        while incomplete and incomplete[0][0] <= shown:
            self._unread_tokens.append(incomplete.popleft()[1])

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def _wait(self, seconds: float | None = None) -> None:
        """Until something has come, or so long."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        if seconds is None:
            await waiter
            return
        timer = self._loop.call_later(seconds, _end_wait, waiter)
        try:
            await waiter
        finally:
            timer.cancel()


def _end_wait(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
