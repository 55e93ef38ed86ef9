"""Ollama's routes, asked by its own library."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import numpy as np
import ollama
import pytest
from ollama import AsyncClient

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.server.exchange import ChatCall, Quiet, ReasoningDelta, TextDelta
from honed.server.ollama.output import ollama_error
from honed.server.ollama.routes import ollama_routes
from honed.server.registry import ModelSpec, Registry
from known_rows import KnownRows, tokenizer
from scripted_replies import Script, ScriptedService, answer, app_of, call

T = TypeVar("T")
HELLO = [{"role": "user", "content": "hello"}]
ALL = answer(
    ReasoningDelta(0, "hm"),
    Quiet(True),
    TextDelta(0, "Hi "),
    Quiet(False),
    TextDelta(0, "you"),
    *call(0, "look", '{"a"', ": 1}"),
    reason="tool_calls",
)


def encoder(_: str) -> TextEncoder:
    return TextEncoder("tiny", KnownRows(), tokenizer(), SentenceSettings())


def ask(use: Callable[[AsyncClient], Awaitable[T]], script: Script = ALL) -> tuple[T, ScriptedService]:
    """What a client makes of a service that answers so, with an encoder by the name of e."""
    service = ScriptedService(script)

    async def asked() -> T:
        service.registry = Registry([ModelSpec("e", "e", ("alias",)), ModelSpec("tiny", "tiny")], encoder, len)
        app = app_of(ollama_routes(service), {"/api/": ollama_error})
        client = AsyncClient("http://server", transport=httpx.ASGITransport(app=app))
        try:
            return await use(client)
        finally:
            await service.registry.close()
            await client._client.aclose()

    return asyncio.run(asked()), service


def test_a_chat() -> None:
    reply, service = ask(lambda client: client.chat("tiny:latest", HELLO, options={"num_predict": 5}))
    assert reply.message.content == "Hi you"
    assert reply.message.thinking == "hm"
    assert reply.message.tool_calls is not None
    assert reply.message.tool_calls[0].function.arguments == {"a": 1}
    assert (reply.model, reply.done, reply.eval_count) == ("tiny:latest", True, 5)
    sent = service.calls[0]
    assert isinstance(sent, ChatCall)
    assert (sent.model, sent.max_tokens) == ("tiny", 5)
    assert service.replies[0].closed


def test_a_stream_of_a_chat() -> None:
    async def use(client: AsyncClient) -> list[Any]:
        return [part async for part in await client.chat("tiny", HELLO, stream=True)]

    parts, service = ask(use)
    assert "".join(part.message.content or "" for part in parts) == "Hi you"
    assert parts[-1].done
    assert service.replies[0].closed


def test_generating_streams_unless_told() -> None:
    async def raw(client: AsyncClient) -> httpx.Response:
        reply: httpx.Response = await client._client.post("/api/generate", json={"model": "tiny", "prompt": "p"})
        return reply

    reply, _ = ask(raw)
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert len(reply.text.splitlines()) == 6
    whole, _ = ask(lambda client: client.generate("tiny", "p"))
    assert whole.response == "Hi you"


def test_a_stream_that_breaks_says_so() -> None:
    async def use(client: AsyncClient) -> None:
        async for _ in await client.chat("tiny", HELLO, stream=True):
            pass

    with pytest.raises(ollama.ResponseError, match="a fault inside the server"):
        ask(use, [*answer(TextDelta(0, "Hi"))[:2], RuntimeError("at 0x7f00")])


def test_refusals_are_flat() -> None:
    with pytest.raises(ollama.ResponseError) as found:
        ask(lambda client: client.chat("tiny", HELLO, options={"num_predict": 0}))
    assert found.value.status_code == 400
    assert found.value.error.startswith("options.num_predict = 0: ")
    with pytest.raises(ollama.ResponseError) as found:
        ask(lambda client: client.show("other"))
    assert found.value.status_code == 404


def test_nothing_to_answer_loads_and_unloads() -> None:
    async def use(client: AsyncClient) -> list[Any]:
        loaded = await client.generate("e")
        running = await client.ps()
        left = await client.chat("e", [], keep_alive=0)
        return [loaded, running, left, await client.ps()]

    (loaded, running, left, after), service = ask(use)
    assert (loaded.done_reason, loaded.response) == ("load", "")
    assert [(model.model, model.context_length) for model in running.models] == [("e", 12)]
    assert (left.done_reason, left.message.content) == ("unload", "")
    assert after.models == []
    assert service.calls == []


def test_the_catalogue() -> None:
    async def use(client: AsyncClient) -> list[Any]:
        before = await client.show("e")
        await client.generate("alias")
        return [await client.list(), before, await client.show("alias:latest")]

    (listed, before, shown), _ = ask(use)
    assert [model.model for model in listed.models] == ["e", "tiny"]
    assert len({model.digest for model in listed.models}) == 2
    assert len(bytes.fromhex(listed.models[0].digest)) == hashlib.sha256().digest_size
    assert before.capabilities == ["completion"]
    assert shown.capabilities == ["embedding"]
    assert shown.modelinfo == {
        "general.architecture": "transformer",
        "general.basename": "e",
        "transformer.context_length": 12,
    }


def test_the_version_is_that_of_the_api() -> None:
    async def use(client: AsyncClient) -> Any:
        return (await client._client.get("/api/version")).json()

    version, _ = ask(use)
    assert [int(part) >= 0 for part in version["version"].split(".")] == [True] * 3


def test_vectors() -> None:
    reply, _ = ask(lambda client: client.embed("e", ["a b", "h"], truncate=True))
    expected = encoder("e").embed(["a b", "h"], normalize=True)
    np.testing.assert_array_equal(np.array(reply.embeddings, np.float32), expected)
    assert reply.prompt_eval_count == 7
    old, _ = ask(lambda client: client.embeddings("e", "a b"))
    np.testing.assert_array_equal(np.array(old.embedding, np.float32), encoder("e").embed(["a b"])[0])
    none, _ = ask(lambda client: client.embeddings("e", ""))
    assert none.embedding == []


def test_a_long_text_is_cut_unless_told() -> None:
    text = " ".join("abcdefgh" * 3)
    reply, _ = ask(lambda client: client.embed("e", text))
    assert reply.prompt_eval_count == 12
    with pytest.raises(ollama.ResponseError, match="must have at most 12"):
        ask(lambda client: client.embed("e", text, truncate=False))
    with pytest.raises(ollama.ResponseError, match="dimensions = 4: must be from 1 to 3"):
        ask(lambda client: client.embed("e", "a", dimensions=4))
