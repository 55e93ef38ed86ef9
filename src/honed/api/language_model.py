"""A loaded model: prompts in, text out. Not here: finding and loading it (`api/load.py`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

from honed.api.defaults import resolve_sampling
from honed.api.generation import Generation, Reply, TextStream
from honed.api.prompt import Prompt, PromptEncoder
from honed.backends.base import Backend
from honed.errors import HonedError
from honed.runtime.engine import Engine
from honed.runtime.events import Finished
from honed.runtime.request import GREEDY, Request, Sampling
from honed.text.detokenizer import Detokenizer
from honed.text.stop import StopMatcher
from honed.text.tokenizer import Tokenizer


class LanguageModel:
    """Generates text. Made by `honed.load`; close it, or use it in a with statement. For one thread at a time."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        tokenizer: Tokenizer,
        *,
        defaults: Sampling = GREEDY,
        load_seconds: float = 0.0,
    ) -> None:
        """`defaults`: sampling where a call leaves it open. `load_seconds`: what loading took, for reports."""
        self.name = name
        self.tokenizer = tokenizer
        self.defaults = defaults
        self.load_seconds = load_seconds
        self._backend: Backend | None = backend
        self._engine = Engine(backend)
        self._prompts = PromptEncoder(tokenizer)
        self._replies: dict[int, Reply] = {}

    @property
    def backend(self) -> Backend:
        """What runs the model. After close: HonedError."""
        if self._backend is None:
            raise HonedError(f"the model {self.name} has been closed; load it again")
        return self._backend

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together, at most."""
        return self._engine.positions

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Generation:
        """The whole reply to a text to go on with, to the messages of a chat, or to token ids.

        max_tokens: at most so many are generated, fewer where the context ends. temperature 0 takes the most
        probable token; the others are explained at `Sampling` in `runtime/request.py`. None takes the checkpoint's
        own setting, and greedy decoding if it has none (`api/defaults.py`). seed None draws a new one. stop: texts
        before which the reply ends. Values out of range, or a prompt that leaves no room: ParameterError.
        """
        sampling = resolve_sampling(
            self.defaults,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        return self._start(prompt, max_tokens, sampling, stop).finish()

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> TextStream:
        """The reply piece by piece; `TextStream.generation` is the whole. Parameters as of `generate`."""
        sampling = resolve_sampling(
            self.defaults,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        return self._start(prompt, max_tokens, sampling, stop)

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 256,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
    ) -> list[Generation]:
        """Replies to several prompts, run together; each is what `generate` gives for it alone.

        sampling None takes the defaults. One that fails raises, and the others are aborted.
        """
        streams: list[TextStream] = []
        try:
            for prompt in prompts:
                streams.append(self._start(prompt, max_tokens, sampling or self.defaults, stop))
            return [stream.finish() for stream in streams]
        finally:
            for stream in streams:
                stream.close()

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, as `generate` would run them."""
        return list(self._prompts.encode(prompt).tokens)

    def close(self) -> None:
        """Lets the weights go; running streams end with finish reason abort. Closing twice does no harm."""
        for request_id in list(self._replies):
            self._abort(request_id)
        self._prompts.close()
        if self._backend is not None:
            self._backend = None
            del self._engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, prompt: Prompt, max_tokens: int, sampling: Sampling, stop: Sequence[str]) -> TextStream:
        started = time.perf_counter()
        _ = self.backend  # closed: says so
        stops = StopMatcher((stop,) if isinstance(stop, str) else tuple(stop))
        encoded = self._prompts.encode(prompt)
        request_id = self._engine.add(Request(encoded.tokens, max_tokens, sampling, self.tokenizer.end_tokens))
        detokenizer = Detokenizer(self.tokenizer.decoding, continues=encoded.continues)
        reply = Reply(len(encoded.tokens), detokenizer, stops, started)
        self._replies[request_id] = reply
        return TextStream(reply, self._step, partial(self._abort, request_id))

    def _step(self) -> None:
        for event in self._engine.step():
            reply = self._replies.get(event.request_id)
            if reply is None:
                continue
            reply.handle(event)
            if reply.ended:
                del self._replies[event.request_id]
            if reply.stopped:
                self._engine.abort(event.request_id)

    def _abort(self, request_id: int) -> None:
        reply = self._replies.pop(request_id, None)
        if reply is not None:
            self._engine.abort(request_id)
            reply.handle(Finished(request_id, "abort"))
