"""Replies in event loops: one of them, many of them, slow readers, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engine_rest import settle
from hash_backend import HashBackend
from hash_tokenizer import TOKENS, chatty, tokenizer
from honed.api.async_reply import AsyncReply, Piece
from honed.api.language_model import LanguageModel
from honed.api.prompt import EncodedPrompt
from honed.api.reply_text import ReplyText, TextOptions
from honed.api.shown_tokens import ShownTokens
from honed.backends.base import Logprobs
from honed.errors import HonedError, ParameterError
from honed.runtime.events import Failed, Finished, Generated, PromptScored, Queued, Started
from honed.runtime.request import Sampling


class Slow(HashBackend):
    """Steps of some milliseconds, without Python's lock, as a real one has them; or one step for each that is let."""

    def __init__(self, *, gated: bool = False, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.seconds = 0.002
        self.gate = threading.Semaphore(0) if gated else None

    def forward(self, batch: Any) -> Any:
        if self.gate is not None:
            assert self.gate.acquire(timeout=60)
        else:
            time.sleep(self.seconds)
        return super().forward(batch)


@pytest.fixture
def model() -> Iterator[LanguageModel]:
    with LanguageModel("hash", HashBackend(pages=64), tokenizer()) as made:
        yield made


@pytest.fixture
def gated() -> Iterator[tuple[LanguageModel, threading.Semaphore]]:
    backend = Slow(gated=True, pages=64)
    assert backend.gate is not None
    with LanguageModel("hash", backend, tokenizer()) as made:
        yield made, backend.gate
        backend.gate.release(10_000)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main(), 60)

    return asyncio.run(limited())


async def read(reply: AsyncReply) -> list[Piece]:
    return [piece async for piece in reply]


def joined(pieces: list[Piece]) -> tuple[str, tuple[int, ...]]:
    return "".join(piece.text for piece in pieces), tuple(token.token for piece in pieces for token in piece.tokens)


def test_pieces_joined_are_the_reply(model: LanguageModel) -> None:
    whole = model.generate("hello", max_tokens=100)

    async def main() -> None:
        reply = model.open_reply(model.encode_prompt("hello"), max_tokens=100)
        await reply.queued()
        await reply.started()
        pieces = await read(reply)
        assert joined(pieces) == (whole.text, whole.tokens)
        assert reply.finish_reason == "length"
        assert (reply.prompt_tokens, reply.generated_tokens, reply.cached_tokens) == (5, 100, reply.cached_tokens)
        assert reply.generation.text == whole.text
        assert reply.generation.first_token_seconds is not None
        for piece in pieces:
            for token in piece.tokens:
                assert (token.text, token.data) == model.shown_tokens[token.token]

    run(main)


def test_a_stop_string_leaves_its_tokens_out(model: LanguageModel) -> None:
    whole = model.generate("hello", max_tokens=40)
    stop = whole.text[10:13]

    async def main() -> None:
        for include in (False, True):
            options = TextOptions((stop,), include_stop=include)
            reply = model.open_reply(model.encode_prompt("hello"), max_tokens=40, text=options)
            text, tokens = joined(await read(reply))
            assert text == whole.text[: 13 if include else 10]
            assert tokens == whole.tokens[: 13 if include else 10]
            assert (reply.finish_reason, reply.matched_stop) == ("stop", stop)
            assert tuple(reply.tokens) == whole.tokens[:13]

    run(main)


def test_a_stop_string_that_is_a_control_token_leaves_it_out() -> None:
    with LanguageModel("hash", HashBackend(pages=32), chatty()) as model:
        sampling = Sampling(seed=3)
        cut = model.generate("hello", sampling=sampling, max_tokens=200, stop="S")

        async def main() -> None:
            options = TextOptions(("S",))
            reply = model.open_reply(model.encode_prompt("hello"), max_tokens=200, sampling=sampling, text=options)
            assert joined(await read(reply)) == (cut.text, cut.tokens[:-1])

        run(main)


def made(*, stop: tuple[str, ...] = ()) -> tuple[AsyncReply, list[str]]:
    """A reply that the test feeds, and what it did."""
    aborts: list[str] = []
    decoding = tokenizer().decoding
    text = ReplyText(decoding, TextOptions(stop))
    return AsyncReply(3, text, ShownTokens(decoding), lambda: aborts.append("abort"), 0.0), aborts


def test_tokens_come_with_the_text_that_they_complete() -> None:
    emoji = [TOKENS.index(token) for token in "ðŁĺĢ"]  # four bytes of one character

    async def main() -> None:
        reply, _ = made(stop=("bcd",))
        scores = [Logprobs(-float(i)) for i in range(9)]
        tokens = [0, *emoji, 1, 2, 4]
        got: list[tuple[str, list[int]]] = []
        for i, token in enumerate(tokens):
            reply.receive([Generated(0, token, scores[i])], 1.0 + i)
            if await reply.wait(0):
                piece = await anext(reply)
                got.append((piece.text, [one.token for one in piece.tokens]))
                assert all(one.logprobs is scores[tokens.index(one.token)] for one in piece.tokens)
        # The beginning of the stop string is withheld until it shows that it is none.
        assert got == [("a", [0]), ("\U0001f600", emoji), ("bce", [1, 2, 4])]
        assert reply.first_token_seconds == 1.0

    run(main)


def test_scores_of_the_prompt_and_the_start() -> None:
    async def main() -> None:
        reply, _ = made()
        reply.receive([Queued(7)], 0.5)
        await reply.queued()
        waiting = asyncio.create_task(reply.started())
        await asyncio.sleep(0)
        assert not waiting.done()
        reply.receive([Started(7, 2), PromptScored(7, (Logprobs(-1.0),))], 0.6)
        await waiting
        reply.receive([PromptScored(7, (Logprobs(-2.0),)), Finished(7, "length")], 0.7)
        assert reply.cached_tokens == 2
        assert [score.logprob for score in reply.prompt_scores] == [-1, -2]
        assert await read(reply) == []
        assert reply.finish_reason == "length"
        assert reply.first_token_seconds is None

    run(main)


def test_a_failure_is_raised_after_the_text_before_it() -> None:
    async def main() -> None:
        reply, aborts = made()
        reply.receive([Queued(1), Generated(1, 0)], 0.1)
        reply.receive([Failed(1, HonedError("logits: not finite"))], 0.2)
        assert (await anext(reply)).text == "a"
        for _ in range(2):
            with pytest.raises(HonedError, match="not finite"):
                await anext(reply)
        await reply.started()  # it had
        assert aborts == []

        refused, _ = made()
        refused.receive([Failed(-1, HonedError("the queue is full"))], 0.1)
        for wait in (refused.queued, refused.started):
            with pytest.raises(HonedError, match="the queue is full"):
                await wait()

    run(main)


def test_what_cannot_run_is_refused_at_once(model: LanguageModel) -> None:
    async def main() -> None:
        with pytest.raises(ParameterError, match="at least one token"):
            model.open_reply(EncodedPrompt((), True), max_tokens=3)
        with pytest.raises(ParameterError, match="stop"):
            model.open_reply(EncodedPrompt((1,), True), max_tokens=3, text=TextOptions(("",)))

    run(main)
    with pytest.raises(RuntimeError, match="no running event loop"):
        model.open_reply(EncodedPrompt((1,), True), max_tokens=3)
    model.close()

    async def closed() -> None:
        with pytest.raises(HonedError, match="closed"):
            model.open_reply(EncodedPrompt((1,), True), max_tokens=3)

    run(closed)


def test_waiting_has_a_limit_and_ends_nothing(gated: tuple[LanguageModel, threading.Semaphore]) -> None:
    model, gate = gated

    async def main() -> None:
        reply = model.open_reply(EncodedPrompt((1, 2), True), max_tokens=2)
        assert not await reply.wait(0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.wait(60), 0.02)
        gate.release(2)
        assert await reply.wait(60)
        assert len(joined(await read(reply))[1]) == 2

    run(main)


@pytest.mark.parametrize("how", ["abort", "with", "garbage", "cancelled", "generator", "generate"])
def test_leaving_a_reply_ends_its_request(gated: tuple[LanguageModel, threading.Semaphore], how: str) -> None:
    model, gate = gated

    async def main() -> None:
        if how in ("generator", "generate"):
            gate.release(3)
            if how == "generator":
                async with contextlib.aclosing(model.stream_async([1, 2], max_tokens=400)) as stream:  # type: ignore[type-var]
                    async for text in stream:
                        assert text
                        break
            else:
                task = asyncio.create_task(model.generate_async([1, 2], max_tokens=400))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return
        reply = model.open_reply(EncodedPrompt((1, 2), True), max_tokens=400)
        gate.release(3)
        while reply.generated_tokens < 3:
            await asyncio.sleep(0.001)
        if how == "abort":
            reply.abort()
            await reply.aclose()
            assert reply.finish_reason == "abort"
            assert len(joined(await read(reply))[1]) == 3
        elif how == "with":
            async with reply:
                pass
        elif how == "cancelled":
            await anext(reply)
            task = asyncio.create_task(anext(reply))  # type: ignore[arg-type]
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reply.finish_reason == "abort"
        del reply
        gc.collect()

    run(main)
    gate.release(2)  # the step that was running, and none of the four hundred
    settle(model._thread)
    assert model._engine.free_pages == 64


def test_a_loop_that_ends_takes_its_requests_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    with LanguageModel("hash", Slow(pages=64), tokenizer()) as model:
        kept = []

        async def main() -> None:
            kept.append(model.open_reply(EncodedPrompt((1, 2), True), max_tokens=400))
            await kept[0].started()
            await anext(kept[0])

        run(main)
        settle(model._thread)
        assert len(model._backend.batches) < 100  # type: ignore[union-attr]
        assert model._engine.free_pages == 64
    assert capsys.readouterr().err == ""


def test_a_reader_that_takes_its_time_holds_up_nobody() -> None:
    backend = Slow(pages=64)
    with LanguageModel("hash", backend, tokenizer()) as model:
        whole = model.generate("slow", max_tokens=60)

        async def main() -> None:
            slow = model.open_reply(model.encode_prompt("slow"), max_tokens=60)
            await slow.started()
            quick = await model.generate_async("quick", max_tokens=60)
            assert len(quick.tokens) == 60
            await slow.wait(10)
            assert joined(await read(slow)) == (whole.text, whole.tokens)

            blocked = model.open_reply(model.encode_prompt("slow"), max_tokens=60)
            await blocked.started()
            steps = len(backend.batches)
            time.sleep(0.5)  # the whole loop does nothing
            assert len(backend.batches) - steps >= 50
            assert len(joined([await anext(blocked)])[1]) <= 60
            assert blocked.generation.tokens == whole.tokens[: blocked.generated_tokens]

        run(main)


def test_many_loops_and_threads_get_what_each_gets_alone() -> None:
    with LanguageModel("hash", HashBackend(pages=128), tokenizer()) as model:

        def alone(number: int) -> tuple[str, tuple[int, ...]]:
            found = model.generate([number % 50, 1], max_tokens=40, temperature=1.0, seed=number)
            return found.text, found.tokens

        async def one(number: int) -> tuple[str, tuple[int, ...]]:
            prompt = EncodedPrompt((number % 50, 1), True)
            return joined(await read(model.open_reply(prompt, max_tokens=40, sampling=Sampling(seed=number))))

        def loop(first: int) -> list[tuple[str, tuple[int, ...]]]:
            async def main() -> list[tuple[str, tuple[int, ...]]]:
                return await asyncio.gather(*(one(first + i) for i in range(16)))

            found: list[tuple[str, tuple[int, ...]]] = run(main)
            return found

        with ThreadPoolExecutor(8) as pool:
            loops = [pool.submit(loop, 16 * i) for i in range(4)]
            plain = [pool.submit(alone, i) for i in range(64)]
            together = [found for done in loops for found in done.result(60)]
            assert together == [done.result(60) for done in plain] == [alone(i) for i in range(64)]
        settle(model._thread)
        assert model._engine.free_pages == 128


def test_a_storm_of_cancellations_then_a_normal_reply() -> None:
    with LanguageModel("hash", Slow(pages=64), tokenizer()) as model:
        whole = model.generate("hello", max_tokens=30)
        draw = np.random.default_rng(1)

        async def main() -> None:
            tasks = [asyncio.create_task(model.generate_async([i % 50] * 9, max_tokens=300)) for i in range(200)]
            for task in tasks:
                await asyncio.sleep(float(draw.random()) * 0.002)
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            begun = time.monotonic()
            assert (await model.generate_async("hello", max_tokens=30)).text == whole.text
            assert time.monotonic() - begun < 5

        run(main)
        settle(model._thread)
        assert model._engine.free_pages == 64
        model._engine.check_integrity()


def test_one_call_of_the_loop_a_step(gated: tuple[LanguageModel, threading.Semaphore]) -> None:
    model, gate = gated

    async def main() -> None:
        loop = asyncio.get_running_loop()
        calls = 0
        plain = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return plain(*args, **kwargs)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        replies = [model.open_reply(EncodedPrompt((i, 1), True), max_tokens=5) for i in range(30)]
        gate.release(1)
        for reply in replies:
            while reply.generated_tokens < 1:
                gate.release(1)
                await asyncio.sleep(0.01)
        calls, before = 0, [reply.generated_tokens for reply in replies]
        gate.release(1)
        while [reply.generated_tokens for reply in replies] == before:
            await asyncio.sleep(0.01)
        assert calls == 1
        gate.release(50)
        for reply in replies:
            await read(reply)

    run(main)


def test_asynchronous_calls_check_what_they_are_given(model: LanguageModel) -> None:
    async def main() -> None:
        with pytest.raises(ParameterError, match="is called max_tokens here"):
            await model.generate_async("a", max_new_tokens=3)  # type: ignore[call-arg]
        with pytest.raises(ParameterError, match=r"^max_tokens = "):
            await model.generate_async("a", max_tokens=0)
        with pytest.raises(ParameterError, match="generate_batch runs several"):
            async for _ in model.stream_async(["a", "b"]):  # type: ignore[arg-type]
                pass
        whole = await model.generate_async("hello", max_tokens=30, temperature=1.0, seed=3)
        assert whole.tokens == model.generate("hello", max_tokens=30, temperature=1.0, seed=3).tokens
        texts = [text async for text in model.stream_async("hello", max_tokens=30, temperature=1.0, seed=3)]
        assert "".join(texts) == whole.text

    run(main)
