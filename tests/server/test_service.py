"""What a call comes to whatever the dialect: seeds, logprobs, limits of tokens, the queue, the prefix cache."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from honed.runtime.options import SamplingOptions
from honed.runtime.request import GREEDY, Sampling
from honed.server.exchange import TextCall
from honed.server.service import settled_sampling
from running_server import RunningServer
from scripted_model import scripted_model

REPLIES = {"hello": "Hello! A bär.", "long": "over the lazy dog " * 40}
KEYS = ("first-key-1", "second-key-2")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer({"scripted": lambda: scripted_model(REPLIES)[0]}, api_keys=KEYS) as running:
        yield running


def ask(server: RunningServer, text: str = "hello", key: str = KEYS[0], **more: Any) -> Any:
    body = {"model": "scripted", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    with server.client(headers={"x-api-key": key}) as http:
        reply = http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def chunks(server: RunningServer, **more: Any) -> list[Any]:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}], "temperature": 0, **more}
    with (
        server.client(headers={"x-api-key": KEYS[0]}) as http,
        http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as reply,
    ):
        return [json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {")]


def text_of(document: Any, index: int = 0) -> str:
    return str(document["choices"][index]["message"]["content"])


def test_the_same_seed_gives_the_same_text(server: RunningServer) -> None:
    wild: dict[str, Any] = {"temperature": 2, "top_p": 1, "max_tokens": 12, "ignore_eos": True, "logit_bias": {"9": 12}}
    alone = ask(server, seed=7, **wild)
    among = ask(server, seed=7, n=4, **wild)
    assert text_of(alone) == text_of(among, 0)
    assert len({text_of(among, index) for index in range(4)}) > 1
    assert text_of(ask(server, seed=-7, **wild)) == text_of(ask(server, seed=-7, **wild))
    assert len({text_of(ask(server, **wild)) for _ in range(4)}) > 1


@pytest.mark.parametrize("top", [None, 0, 3])
def test_logprobs_of_a_chat(server: RunningServer, top: int | None) -> None:
    document = ask(server, logprobs=True, top_logprobs=top)
    content = document["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) != ""
    assert bytes(byte for entry in content for byte in entry["bytes"]).decode() == REPLIES["hello"]
    assert len(content) == document["usage"]["completion_tokens"]
    for entry in content:
        assert entry.keys() == {"token", "logprob", "bytes", "top_logprobs"}
        assert entry["logprob"] <= 0
        assert len(entry["top_logprobs"]) in ((0,) if not top else (top, top + 1))
        if top:
            assert entry["logprob"] in [other["logprob"] for other in entry["top_logprobs"]]
    streamed = [
        entry
        for chunk in chunks(server, logprobs=True, top_logprobs=top)
        for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    assert streamed == content
    assert ask(server)["choices"][0]["logprobs"] is None


def test_least_and_most_tokens(server: RunningServer) -> None:
    assert ask(server, min_tokens=20, max_tokens=30)["usage"]["completion_tokens"] >= 20
    document = ask(server, ignore_eos=True, max_tokens=25)
    assert document["usage"]["completion_tokens"] == 25
    assert document["choices"][0]["finish_reason"] == "length"
    to_the_end = ask(server, ignore_eos=True)
    assert to_the_end["usage"]["total_tokens"] == 1024
    assert to_the_end["choices"][0]["finish_reason"] == "length"


def test_stop_strings_may_be_kept(server: RunningServer) -> None:
    assert text_of(ask(server, stop="A b", include_stop_str_in_output=True)) == "Hello! A b"
    streamed = "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks(server, stop=["A bx", "!"])
    )
    assert streamed == "Hello"


def test_prefixes_are_found_again_and_by_the_same_key_only(server: RunningServer) -> None:
    text = "the quick brown fox " * 20
    assert ask(server, text)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert ask(server, text)["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert ask(server, text, key=KEYS[1])["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert ask(server, text, cache_salt="other")["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_who_waits_too_long_is_told() -> None:
    model, backend = scripted_model(REPLIES, pages=8)
    backend.pause = 0.02
    with RunningServer({"scripted": lambda: model}, queue_timeout=0.2) as server:
        statuses: list[int] = []

        def go() -> None:
            body = {
                "model": "scripted",
                "messages": [{"role": "user", "content": "the fox " * 40}],
                "ignore_eos": True,
                "max_tokens": 60,
            }
            with server.client() as http:
                reply = http.post("/v1/chat/completions", json=body)
            statuses.append(reply.status_code)
            if reply.status_code == 503:
                assert reply.json()["error"]["code"] == "queue_timeout"
                assert reply.headers["x-should-retry"] == "true"

        threads = [threading.Thread(target=go) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200, 503}


def test_sampling_that_is_left_open() -> None:
    call = TextCall(model="m", prompt="x", logprobs=2)
    assert settled_sampling(call, GREEDY).temperature == 1
    assert settled_sampling(call, GREEDY).logprobs == 2
    assert settled_sampling(call, Sampling(temperature=0.6, top_p=0.9)).temperature == 0.6
    greedy = TextCall(model="m", prompt="x", sampling=SamplingOptions(temperature=0.0))
    assert settled_sampling(greedy, Sampling(temperature=0.6)).temperature == 0
