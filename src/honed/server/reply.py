"""A reply while it runs: the choices of one call, whose deltas come in one queue. Not here: what a piece of text comes
to (`server/choice.py`), and how the call became requests (`server/service.py`)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from honed.api.async_reply import AsyncReply
from honed.server.account import Account
from honed.server.choice import Choice
from honed.server.errors import Fault, RequestError
from honed.server.exchange import Admitted, Delta, Quiet, Usage

QUIET_SECONDS = 15.0
"""Without a delta, after which a comment is due; the fourth time in a row, an event."""
_EVENT_EVERY = 4


@dataclass(frozen=True)
class Run:
    """One choice and the request that makes it. echo: the prompt's text and tokens, where it is part of the text;
    scored: with logprobs. first: whether it is the first choice of its prompt."""

    choice: Choice
    source: AsyncReply
    first: bool
    echo: tuple[str, tuple[int, ...]] | None = None
    scored: bool = False


class RunningReply:
    """Implements `honed.server.service.Reply`. For the loop that made it."""

    def __init__(self, model: str, runs: Sequence[Run], account: Account, release: Callable[[], None]) -> None:
        """release: called once, when nothing of it runs any more."""
        self.model = model
        self.created = int(account.record.created)
        self._runs = runs
        self.record = account.record
        self._account = account
        self._release: Callable[[], None] | None = release
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Delta] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._left = len(runs)
        self._last = self._loop.time()
        self._silences = 0
        self._timer = self._loop.call_later(QUIET_SECONDS, self._tick)
        account.record.cancel = self._cancel
        self._put([Admitted(self.usage)])
        self._tasks = [asyncio.ensure_future(self._pump(run)) for run in runs]

    @property
    def choices(self) -> int:
        """How many there are."""
        return len(self._runs)

    @property
    def usage(self) -> Usage:
        """So far, of all choices together; a prompt counts once, however many choices it has."""
        firsts = [run.source for run in self._runs if run.first]
        return Usage(
            prompt=sum(source.prompt_tokens for source in firsts),
            cached=sum(source.cached_tokens for source in firsts),
            completion=sum(run.source.generated_tokens for run in self._runs),
            reasoning=sum(run.choice.reasoning for run in self._runs),
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        """The next one. An error of a choice ends the others, and is raised after the deltas before it."""
        await self._filled()
        if not self._queue:
            raise StopAsyncIteration
        return self._queue.popleft()

    async def ready(self) -> list[Delta]:
        """All that there are, at least one; none at the end. Errors as of the iteration."""
        await self._filled()
        found = list(self._queue)
        self._queue.clear()
        return found

    async def aclose(self) -> None:
        """Ends what runs; its pages are free with the next step."""
        self._close()

    def __del__(self) -> None:
        self._close()

    async def _filled(self) -> None:
        try:
            while not self._queue:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                if not self._left:
                    return
                self._waiter = self._loop.create_future()
                await self._waiter
        except asyncio.CancelledError:
            self._close()
            raise

    def _close(self) -> None:
        release, self._release = self._release, None
        if release is None:
            return
        self._left = 0
        self._timer.cancel()
        for run in self._runs:
            run.source.abort()
        for task in self._tasks:
            task.cancel()
        self._account.closed(failed=self._error is not None)
        release()
        self._wake()

    def _cancel(self) -> None:
        """What a caller does with a request of its own from elsewhere: it ends, and its stream says so."""
        for run in self._runs:
            run.source.abort()

    def stop(self, fault: Fault) -> None:
        """Ends it with an error, as where the server does not wait any longer."""
        self._fail(RequestError(fault))

    async def _pump(self, run: Run) -> None:
        choice, source = run.choice, run.source
        try:
            echo = run.echo
            if echo is not None and not run.scored:
                self._put([choice.echoed(*echo, None)])
                echo = None
            await source.started()
            self._account.started(source.cached_tokens)
            async for piece in source:
                if echo is not None:
                    self._put([choice.echoed(*echo, source.prompt_scores)])
                    echo = None
                if piece.tokens:
                    self._account.tokens(choice.index, len(piece.tokens))
                if deltas := choice.piece(piece):
                    self._put(deltas)
            if echo is not None:
                self._put([choice.echoed(*echo, source.prompt_scores)])
            reason = source.finish_reason or "abort"
            self._account.ended(reason)
            self._left -= 1
            self._put(choice.end(reason, source.matched_stop, lambda: self._usage_of(run)))
            if not self._left:
                self._close()
        except Exception as error:
            self._fail(error)

    def _usage_of(self, run: Run) -> Usage:
        source = run.source
        return Usage(source.prompt_tokens, source.cached_tokens, source.generated_tokens, run.choice.reasoning)

    def _fail(self, error: BaseException) -> None:
        if self._release is not None:
            self._error = error
            self._close()

    def _put(self, deltas: Sequence[Delta]) -> None:
        self._queue.extend(deltas)
        self._last = self._loop.time()
        self._silences = 0
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        due = QUIET_SECONDS * (self._silences + 1)
        if silent + 0.01 >= due:
            self._silences += 1
            self._queue.append(Quiet(comment=self._silences % _EVENT_EVERY != 0))
            self._wake()
            due += QUIET_SECONDS
        self._timer = self._loop.call_later(max(due - silent, 0.01), self._tick)
