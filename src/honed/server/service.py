"""What every dialect asks for text: one call in, its deltas out. Knows no wire format.

A call becomes n requests of an engine here: model, prompt, grammar, sampling, limits. All that can be wrong with it is
found before the reply begins. Not here: the reply itself (`server/reply.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from honed.api.async_reply import AsyncReply
from honed.api.embed import TextEncoder
from honed.api.language_model import LanguageModel
from honed.api.prompt import EncodedPrompt
from honed.api.reply_text import TextOptions
from honed.errors import ParameterError
from honed.runtime.request import Sampling
from honed.server.account import Account
from honed.server.choice import Choice
from honed.server.errors import Fault, RequestError
from honed.server.exchange import Call, ChatCall, Delta, TextCall, Usage
from honed.server.history import History, RequestRecord
from honed.server.metrics import Metrics
from honed.server.prompting import Prompter, of_messages
from honed.server.registry import Lease, Registry
from honed.server.reply import Run, RunningReply
from honed.server.shape import Shape, Shaper
from honed.text.infill import infill_tokens

T = TypeVar("T")
_THREADS = 4
"""For templates, tokenizers and grammars: they let go of Python's lock while they work."""
_STRIDE = 0x9E3779B97F4A7C15
"""Between the seeds of the choices of one call (Weyl's sequence of the golden ratio): no two are the same."""


class Reply(Protocol):
    """The deltas of one call, in order; closing it early, or cancelling who waits for it, ends the request at once.

    An error on the way is raised by the iteration, as a HonedError whose `fault_of` the dialect writes as its event.
    """

    @property
    def model(self) -> str:
        """The name that the caller gave."""

    @property
    def created(self) -> int:
        """Seconds since 1970."""

    @property
    def usage(self) -> Usage:
        """So far, of all choices together; the prompt counts once a prompt."""

    def __aiter__(self) -> AsyncIterator[Delta]: ...

    async def __anext__(self) -> Delta: ...

    async def ready(self) -> list[Delta]:
        """All deltas that there are, at least one; none at the end."""

    async def aclose(self) -> None: ...


class ServiceProtocol(Protocol):
    """`Service`, as the dialects use it."""

    registry: Registry

    async def open(self, call: ChatCall | TextCall, *, key: str = "", request_id: str = "") -> Reply:
        """Validates, loads the model if need be, renders, encodes and queues. Every error that the request itself
        causes is raised here, before the first delta: ParameterError, TemplateError, RequestError."""

    async def open_all(self, calls: Sequence[TextCall], *, key: str = "", request_id: str = "") -> Reply:
        """Several prompts as one reply; choice j of call i has the index i n + j."""

    async def count_tokens(self, call: ChatCall | TextCall) -> int:
        """The prompt tokens that `open` of the same call would report."""

    async def encode(self, model: str, text: str, *, add_special: bool = True) -> list[int]:
        """Token ids of a text."""

    async def decode(self, model: str, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of token ids."""

    async def render(self, call: ChatCall) -> str:
        """The text of the prompt."""


@dataclass(frozen=True)
class _Fittings:
    """What is made once for a loaded model."""

    prompter: Prompter
    shaper: Shaper
    vocabulary: int


@dataclass(frozen=True)
class _Prepared:
    call: ChatCall | TextCall
    prompt: EncodedPrompt
    shape: Shape


class Service:
    """Implements `ServiceProtocol` over the models of a registry. For one event loop."""

    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        history: History,
        *,
        max_waiting: int = 256,
        queue_timeout: float | None = None,
    ) -> None:
        """max_waiting: choices of a model that have not begun at most; queue_timeout: seconds until one fails."""
        self.registry = registry
        self.metrics = metrics
        self.history = history
        self._max_waiting = max_waiting
        self._queue_timeout = queue_timeout
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="prompt")
        self._fittings: weakref.WeakKeyDictionary[LanguageModel, _Fittings] = weakref.WeakKeyDictionary()
        self._preparing: Counter[str] = Counter()
        """Choices whose prompts are being made, by model."""
        self._running: weakref.WeakSet[RunningReply] = weakref.WeakSet()

    async def open(self, call: ChatCall | TextCall, *, key: str = "", request_id: str = "") -> RunningReply:
        """As `ServiceProtocol` says."""
        return await self._open([call], key, request_id)

    async def open_all(self, calls: Sequence[TextCall], *, key: str = "", request_id: str = "") -> RunningReply:
        """As `ServiceProtocol` says."""
        return await self._open(calls, key, request_id)

    async def count_tokens(self, call: ChatCall | TextCall) -> int:
        """As `ServiceProtocol` says."""
        async with self._generator(call.model) as model:
            fittings = self._fitted(model)
            return len((await self._threaded(lambda: fittings.prompter.encode(call))).tokens)

    async def encode_call(self, call: ChatCall | TextCall) -> list[int]:
        """Token ids of the prompt that `open` would run."""
        async with self._generator(call.model) as model:
            fittings = self._fitted(model)
            return list((await self._threaded(lambda: fittings.prompter.encode(call))).tokens)

    async def encode(self, model: str, text: str, *, add_special: bool = True) -> list[int]:
        """As `ServiceProtocol` says."""
        lease = await self.registry.lease(model)
        try:
            tokenizer = lease.model.tokenizer
            return await self._threaded(lambda: tokenizer.encode(text, add_special=add_special))
        finally:
            lease.release()

    async def decode(self, model: str, tokens: Sequence[int], *, skip_special: bool = False) -> str:
        """As `ServiceProtocol` says."""
        lease = await self.registry.lease(model)
        try:
            tokenizer = lease.model.tokenizer
            return await self._threaded(lambda: tokenizer.decode(tokens, skip_special=skip_special))
        finally:
            lease.release()

    async def decode_each(self, model: str, tokens: Sequence[int]) -> list[str]:
        """The text of each token alone, control tokens written out."""
        lease = await self.registry.lease(model)
        try:
            decode = lease.model.tokenizer.decode
            texts = await self._threaded(lambda: {token: decode([token], skip_special=False) for token in set(tokens)})
        finally:
            lease.release()
        return [texts[token] for token in tokens]

    async def render(self, call: ChatCall) -> str:
        """As `ServiceProtocol` says."""
        async with self._generator(call.model) as model:
            fittings = self._fitted(model)
            return await self._threaded(lambda: fittings.prompter.render(call))

    @asynccontextmanager
    async def encoder(self, model: str) -> AsyncIterator[TextEncoder]:
        """A model that gives vectors, to use meanwhile."""
        lease = await self.registry.lease(model)
        try:
            yield lease.encoder
        finally:
            lease.release()

    async def threaded(self, work: Callable[[], T]) -> T:
        """Runs what would hold up the loop in a thread."""
        return await self._threaded(work)

    def stop(self, fault: Fault) -> None:
        """Ends every running reply with an error."""
        for reply in list(self._running):
            reply.stop(fault)

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for fittings in self._fittings.values():
            fittings.prompter.close()

    async def _open(self, calls: Sequence[ChatCall | TextCall], key: str, request_id: str) -> RunningReply:
        began = time.perf_counter()
        call = calls[0]
        lease = await self.registry.lease(call.model)
        try:
            model = lease.generator
            name = self.registry.status(call.model).name
            choices = sum(each.n for each in calls)
            self._require_room(name, choices)
            fittings = self._fitted(model)
            self._preparing[name] += choices
            try:
                prepared = await self._threaded(lambda: [_prepared(each, fittings) for each in calls])
            finally:
                self._preparing[name] -= choices
            record = RequestRecord(
                request_id=request_id or f"req_{secrets.token_hex(12)}",
                key=key,
                model=name,
                route="chat" if isinstance(call, ChatCall) else "completions",
                prompt_tokens=sum(len(each.prompt.tokens) for each in prepared),
                began=began,
            )
            return await self._submitted(lease, prepared, record)
        except BaseException:
            lease.release()
            raise

    async def _submitted(self, lease: Lease, prepared: Sequence[_Prepared], record: RequestRecord) -> RunningReply:
        model = lease.generator
        runs: list[Run] = []
        try:
            for each in prepared:
                self._add_runs(runs, model, each, record.key)
            for run in runs:
                await run.source.queued()
        except BaseException as error:
            for run in runs:
                run.source.abort()
            if isinstance(error, ParameterError) and isinstance(prepared[0].call, ChatCall):
                raise of_messages(error) from None
            raise
        account = Account(self.metrics, self.history, record, len(runs))
        reply = RunningReply(prepared[0].call.model, runs, account, lease.release)
        self._running.add(reply)
        return reply

    def _add_runs(self, runs: list[Run], model: LanguageModel, prepared: _Prepared, key: str) -> None:
        call, prompt, shape = prepared.call, prepared.prompt, prepared.shape
        text = TextOptions(
            stop=call.stop,
            include_stop=call.include_stop,
            skip_special=call.skip_special,
            visible=shape.visible,
            min_tokens=call.min_tokens,
        )
        sampling = settled_sampling(call, model.defaults)
        ends = frozenset() if call.ignore_eos else _ends(call, model)
        most = model.context if call.max_tokens is None else call.max_tokens
        echo = _echo(call, prompt, model) if isinstance(call, TextCall) and call.echo else None
        scores = call.prompt_logprobs if isinstance(call, TextCall) else None
        for number in range(call.n):
            source: AsyncReply = model.open_reply(
                prompt,
                max_tokens=most,
                sampling=replace(sampling, seed=_seed(sampling.seed, number)),
                text=text,
                stop_tokens=ends | frozenset(call.stop_token_ids),
                priority=call.priority,
                queue_seconds=self._queue_timeout,
                cache_key=_cache_key(key, call.cache_salt),
                constraint=shape.constraint(),
                prompt_logprobs=scores,
            )
            choice = Choice(
                len(runs),
                parser=None if shape.parser is None else shape.parser(),
                logprobs=call.logprobs,
                shown=model.shown_tokens,
                most_calls=shape.most_calls,
            )
            runs.append(Run(choice, source, first=number == 0, echo=echo, scored=scores is not None))

    def _fitted(self, model: LanguageModel) -> _Fittings:
        found = self._fittings.get(model)
        if found is None:
            found = self._fittings[model] = _Fittings(
                Prompter(model.tokenizer, model.context),
                Shaper(model.tokenizer, model.backend.vocabulary),
                model.backend.vocabulary,
            )
        return found

    def _require_room(self, name: str, choices: int) -> None:
        if choices > self._max_waiting:
            raise RequestError(
                Fault(
                    status=400,
                    message=f"n: {choices} choices in one request are over the {self._max_waiting} that may wait here",
                    parameter="n",
                )
            )
        waiting = [reply for reply in self._running if reply.record.model == name and reply.record.state == "queued"]
        if sum(reply.choices for reply in waiting) + self._preparing[name] + choices > self._max_waiting:
            raise RequestError(
                Fault(
                    status=429,
                    message=f"the queue is full: {self._max_waiting} requests wait; try again later",
                    code="queue_full",
                    retry_after=self._seconds_until_room(name),
                )
            )

    def _seconds_until_room(self, name: str) -> int:
        """What the last requests of the model took, as a guess."""
        ended = [found.seconds for found in self.history.ended(name)]
        return max(1, round(sum(ended) / len(ended))) if ended else 5

    @asynccontextmanager
    async def _generator(self, name: str) -> AsyncIterator[LanguageModel]:
        lease = await self.registry.lease(name)
        try:
            yield lease.generator
        finally:
            lease.release()

    async def _threaded(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def settled_sampling(call: Call, defaults: Sampling) -> Sampling:
    """What is run: the call's over the model's own. A checkpoint that asks for no sampling is sampled at temperature 1,
    as the API says, unless the call says otherwise."""
    if defaults.temperature == 0:
        defaults = replace(defaults, temperature=1.0)
    return replace(call.sampling.over(defaults), logprobs=call.logprobs)


def _prepared(call: ChatCall | TextCall, fittings: _Fittings) -> _Prepared:
    for name, ids in (
        ("logit_bias", [token for token, _ in call.sampling.logit_bias or ()]),
        ("stop_token_ids", call.stop_token_ids),
    ):
        for token in ids:
            if not 0 <= token < fittings.vocabulary:
                raise ParameterError(name, token, f"token ids of this model are from 0 to {fittings.vocabulary - 1}")
    prompt = fittings.prompter.encode(call)
    return _Prepared(call, prompt, fittings.shaper.shape(call, prompt.tokens))


def _echo(call: TextCall, prompt: EncodedPrompt, model: LanguageModel) -> tuple[str, tuple[int, ...]]:
    text = call.prompt if isinstance(call.prompt, str) else model.tokenizer.decode(prompt.tokens, skip_special=False)
    return text, prompt.tokens


def _ends(call: Call, model: LanguageModel) -> frozenset[int]:
    if isinstance(call, TextCall) and call.suffix is not None:
        found = infill_tokens(model.tokenizer)
        if found is not None:
            return found.ends
    return model.tokenizer.end_tokens


def _seed(seed: int | None, number: int) -> int:
    if seed is None:
        return secrets.randbits(64)
    return (seed + number * _STRIDE) & ((1 << 64) - 1)


def _cache_key(key: str, salt: str) -> bytes:
    return hashlib.sha256(f"{key}\0{salt}".encode(errors="surrogatepass")).digest() if key or salt else b""
