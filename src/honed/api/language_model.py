"""A loaded model: prompts in, text out. Not here: finding and loading it (`api/load.py`)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

from honed.api.generation import Generation, Mailbox, Reply, TextStream
from honed.api.prompt import EncodedPrompt, Prompt, PromptEncoder
from honed.api.reply_text import PLAIN, ReplyText, TextOptions
from honed.backends.base import Backend
from honed.errors import HonedError, ParameterError, UnsupportedError
from honed.parameters import takes, texts, whole_number
from honed.runtime.engine import Engine
from honed.runtime.engine_options import DEFAULT, EngineOptions
from honed.runtime.engine_thread import EngineThread, Ticket
from honed.runtime.options import SamplingKeywords, SamplingOptions, settled
from honed.runtime.request import GREEDY, Request, Sampling
from honed.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from honed.api.async_reply import AsyncReply
    from honed.api.reply_opener import ReplyOpener
    from honed.api.shown_tokens import ShownTokens
    from honed.runtime.constraint import Constraint


class LanguageModel:
    """Generates text. Made by `honed.load`; close it, or use it in a with statement.

    Several threads may use it at once: what they ask for is run together, and each gets what it would get alone. It
    belongs to the process that loaded it: HonedError in one that was forked later, or where it is pickled.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        tokenizer: Tokenizer,
        *,
        defaults: Sampling = GREEDY,
        load_seconds: float = 0.0,
        engine: EngineOptions = DEFAULT,
        draft: Backend | None = None,
    ) -> None:
        """`defaults`: sampling where a call leaves it open. `load_seconds`: what loading took, for reports. engine: how
        requests are run together; draft: a smaller model with the same vocabulary that makes guesses for it."""
        self.name = name
        self.tokenizer = tokenizer
        self.defaults = defaults
        self.load_seconds = load_seconds
        self._backend: Backend | None = backend
        self._engine = Engine(backend, engine, draft=draft)
        self._positions = self._engine.positions
        self._thread = EngineThread(self._engine)
        self._prompts = PromptEncoder(tokenizer)
        self._process = os.getpid()
        # Prompts are encoded one after the other.
        self._lock = threading.Lock()

    @property
    def backend(self) -> Backend:
        """What runs the model. After close: HonedError."""
        if os.getpid() != self._process:
            raise HonedError(f"the model {self.name} was loaded before this process was forked; load it again in here")
        if self._backend is None:
            raise HonedError(f"the model {self.name} has been closed; load it again")
        return self._backend

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together, at most. After close: HonedError."""
        _ = self.backend
        return self._positions

    @takes(SamplingKeywords)
    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: SamplingOptions | Sampling | None = None,
        stop: Sequence[str] = (),
        literal: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> Generation:
        """The whole reply to a text to go on with, to the messages of a chat, or to token ids.

        max_tokens: at most so many are generated, fewer where the context ends. stop: texts before which the reply
        ends; they may be or hold control tokens. How a token is chosen is said by keywords, or by `sampling`, which
        holds them; where both are given, the keywords count: temperature (0 takes the most probable token), top_k,
        top_p, min_p, repetition_penalty, repetition_scope and seed, which are explained at `honed.Sampling`. What is
        left open, or None, is the checkpoint's own setting, and greedy decoding if it has none (`api/defaults.py`);
        seed None draws a new one. literal: whether control tokens that are
        spelled in the prompt are plain text; None: they are in messages, so that no text opens a turn, and are control
        tokens in a text to go on with. Messages that end with one of the assistant are continued. Values out of range,
        or a prompt that leaves no room: ParameterError.
        """
        return self.stream(
            prompt, max_tokens=max_tokens, sampling=sampling, stop=stop, literal=literal, **given
        ).finish()

    @takes(SamplingKeywords)
    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: SamplingOptions | Sampling | None = None,
        stop: Sequence[str] = (),
        literal: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> TextStream:
        """The reply piece by piece; `TextStream.generation` is the whole. Parameters as of `generate`."""
        chosen = settled(sampling, given, self.defaults)
        return self._start([_single(prompt)], max_tokens, chosen, stop, literal)[0]

    @takes(SamplingKeywords)
    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 256,
        sampling: SamplingOptions | Sampling | None = None,
        stop: Sequence[str] = (),
        literal: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> list[Generation]:
        """Replies to several prompts, run together; each is what `generate` gives for it alone. Parameters as there.

        One that fails raises, and the others are aborted.
        """
        if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
            raise ParameterError("prompts", prompts, "must be a list of prompts; generate runs a single one")
        chosen = settled(sampling, given, self.defaults)
        streams = self._start(prompts, max_tokens, chosen, stop, literal)
        try:
            return [stream.finish() for stream in streams]
        finally:
            for stream in streams:
                stream.close()

    @takes(SamplingKeywords)
    async def generate_async(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: SamplingOptions | Sampling | None = None,
        stop: Sequence[str] = (),
        literal: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> Generation:
        """`generate` in an event loop, which goes on meanwhile. Cancelling ends the request."""
        reply = await self._open(prompt, max_tokens, settled(sampling, given, self.defaults), stop, literal)
        async with reply:
            async for _ in reply:
                pass
        return reply.generation

    @takes(SamplingKeywords)
    async def stream_async(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: SamplingOptions | Sampling | None = None,
        stop: Sequence[str] = (),
        literal: bool | None = None,
        **given: Unpack[SamplingKeywords],
    ) -> AsyncIterator[str]:
        """The reply piece by piece in an event loop: `async for text in model.stream_async(prompt)`. Leaving the loop
        ends the request."""
        reply = await self._open(prompt, max_tokens, settled(sampling, given, self.defaults), stop, literal)
        async with reply:
            async for piece in reply:
                if piece.text:
                    yield piece.text

    def open_reply(
        self,
        prompt: EncodedPrompt,
        *,
        max_tokens: int,
        sampling: Sampling | None = None,
        text: TextOptions = PLAIN,
        stop_tokens: frozenset[int] | None = None,
        priority: int = 0,
        queue_seconds: float | None = None,
        cache_key: bytes = b"",
        constraint: Constraint | None = None,
        prompt_logprobs: int | None = None,
        speculate: bool = True,
    ) -> AsyncReply:
        """The reply to token ids, for who speaks with clients from the event loop that runs; does not wait.

        The fields of `honed.runtime.request.Request`, where they are explained, and of its text. sampling None: the
        checkpoint's; stop_tokens None: those that end a reply of this model. min_tokens of the text goes for stop
        tokens too. What cannot run: ParameterError; what the engine refuses for the state that it is in comes from
        `AsyncReply.queued`.
        """
        _ = self.backend
        request = Request(
            prompt.tokens,
            max_tokens,
            self.defaults if sampling is None else sampling,
            self.tokenizer.end_tokens if stop_tokens is None else stop_tokens,
            min_tokens=text.min_tokens,
            priority=priority,
            queue_seconds=queue_seconds,
            cache_key=cache_key,
            constraint=constraint,
            prompt_logprobs=prompt_logprobs,
            speculate=speculate,
        )
        made = ReplyText(self.tokenizer.decoding, text, continues=prompt.continues)
        return self._opener.open(request, made)

    @property
    def alive(self) -> bool:
        """Whether it still takes requests: not closed, and the backend did not fail for good."""
        return self._backend is not None and self._thread.alive

    def statistics(self) -> Any:
        """The engine's counters, as they were a moment ago; None where it keeps none."""
        _ = self.backend
        return self._thread.statistics()

    @cached_property
    def shown_tokens(self) -> ShownTokens:
        """Each token as it is shown alone, by its id."""
        from honed.api.shown_tokens import ShownTokens  # a start that generates does without

        return ShownTokens(self.tokenizer.decoding)

    def embed(self, *_: Any, **__: Any) -> NoReturn:
        """Vectors of texts come from encoders: UnsupportedError."""
        raise UnsupportedError(
            f"{self.name} generates text, and vectors of texts are not had from it yet; load an encoder, for instance "
            "minilm"
        )

    embed_iter = embed

    def encode(self, prompt: Prompt, *, literal: bool | None = None, limit: int | None = None) -> list[int]:
        """Token ids of a prompt, as `generate` would run them.

        limit: a text that is longer is refused before all of it has been made into tokens (ParameterError); None: as
        many as they are.
        """
        if limit is not None:
            limit = whole_number("limit", limit, 1)
        return list(self.encode_prompt(prompt, literal=literal, limit=limit).tokens)

    def encode_prompt(self, prompt: Prompt, *, literal: bool | None = None, limit: int | None = None) -> EncodedPrompt:
        """`encode`, as `open_reply` takes it."""
        _ = self.backend
        with self._lock:
            _ = self.backend  # closed by another thread meanwhile: says so
            return self._prompts.encode(_single(prompt), literal=literal, room=limit)

    def close(self) -> None:
        """Lets the weights go, after the step that is running; streams end with finish reason abort. Closing twice does
        no harm."""
        if os.getpid() != self._process:
            return  # what there is to close belongs to another process, which may hold the lock
        with self._lock:
            self._prompts.close()
            closed, self._backend = self._backend is None, None
        if not closed:
            self._thread.close()
            del self._engine

    def __enter__(self) -> Self:
        _ = self.backend
        return self

    def __reduce__(self) -> NoReturn:
        raise HonedError(f"the model {self.name} cannot be copied or pickled; load it in the process that needs it")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(
        self,
        prompts: Iterable[Prompt],
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str],
        literal: bool | None,
    ) -> list[TextStream]:
        """Streams of the replies, which run together."""
        started = time.perf_counter()
        max_tokens = whole_number("max_tokens", max_tokens, 1)
        options = TextOptions(texts("stop", stop))
        thread = self._running
        tickets, streams = [], []
        for prompt in prompts:
            encoded = self.encode_prompt(prompt, literal=literal, limit=self.context)
            text = ReplyText(self.tokenizer.decoding, options, continues=encoded.continues)
            mailbox = Mailbox()
            ticket = Ticket(Request(encoded.tokens, max_tokens, sampling, self.tokenizer.end_tokens), mailbox.put)
            reply = Reply(len(encoded.tokens), text, started)
            tickets.append(ticket)
            streams.append(
                TextStream(reply, mailbox, self._check, partial(thread.abort, ticket), whole=not options.stop)
            )
        thread.submit_all(tickets)
        return streams

    async def _open(
        self, prompt: Prompt, max_tokens: int, sampling: Sampling, stop: Sequence[str], literal: bool | None
    ) -> AsyncReply:
        import asyncio

        max_tokens = whole_number("max_tokens", max_tokens, 1)
        options = TextOptions(texts("stop", stop))
        encode = partial(self.encode_prompt, prompt, literal=literal, limit=self.context)
        return self.open_reply(await asyncio.to_thread(encode), max_tokens=max_tokens, sampling=sampling, text=options)

    def _check(self) -> None:
        """HonedError in a process that was forked, where no event will ever come."""
        if os.getpid() != self._process:
            _ = self.backend

    @property
    def _running(self) -> EngineThread:
        _ = self.backend
        return self._thread

    @cached_property
    def _opener(self) -> ReplyOpener:
        from honed.api.reply_opener import ReplyOpener  # imports asyncio, which a plain start does without

        return ReplyOpener(self._running, self.shown_tokens)


def _single(prompt: Prompt) -> Prompt:
    """The prompt, unless it is a list of texts: those are several."""
    if isinstance(prompt, list | tuple) and prompt and isinstance(prompt[0], str):
        raise ParameterError("prompt", prompt, "is a list of texts; generate_batch runs several prompts")
    return prompt
