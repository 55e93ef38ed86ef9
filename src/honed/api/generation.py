"""A reply and its stream. Not here: how prompts become tokens, which is `api/language_model.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from honed.records import dataclass
from honed.runtime.events import Event, Failed, Finished, Generated
from honed.runtime.request import FinishReason
from honed.text.detokenizer import Detokenizer
from honed.text.stop import StopMatcher


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


class Reply:
    """Collects one request's events into text. `started` is the time of the call, of time.perf_counter."""

    def __init__(self, prompt_tokens: int, detokenizer: Detokenizer, stops: StopMatcher, started: float) -> None:
        self._prompt_tokens = prompt_tokens
        self._detokenizer = detokenizer
        self._stops = stops
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
        return self._stops.matched is not None

    def read(self) -> str:
        """Text that came since the last call."""
        text = "".join(self._unread)
        self._unread.clear()
        return text

    def handle(self, event: Event) -> None:
        """Takes an event of this request; after the end none counts."""
        if self.ended:
            return
        match event:
            case Generated(_, token):
                self._last = time.perf_counter()
                self._first = self._last if self._first is None else self._first
                self._tokens.append(token)
                self._write(self._stops.feed(self._detokenizer.feed(token)))
                if self.stopped:
                    self._end("stop")
            case Finished(_, reason):
                self._write(self._stops.feed(self._detokenizer.finish()))
                self._write(self._stops.finish())
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
    """Pieces of a reply as they come; joined they are its text. Closing it early ends the request."""

    def __init__(self, reply: Reply, advance: Callable[[], None], abort: Callable[[], None]) -> None:
        """`advance` runs one step of the engine, `abort` ends the request."""
        self._reply = reply
        self._advance = advance
        self._abort = abort

    def __next__(self) -> str:
        while True:
            if text := self._reply.read():
                return text
            if self._reply.error is not None:
                raise self._reply.error
            if self._reply.ended:
                raise StopIteration
            self._advance()

    @property
    def generation(self) -> Generation | None:
        """The whole reply; None while it is not finished."""
        return self._reply.generation

    def finish(self) -> Generation:
        """Runs to the end and returns the whole reply, what was read before included."""
        for _ in self:
            pass
        assert self._reply.generation is not None
        return self._reply.generation

    def close(self) -> None:
        """Ends the request if it runs; what came so far is then its generation, with finish reason abort."""
        self._abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A loop that was left early must not keep the request running beside later ones.
        self._abort()
