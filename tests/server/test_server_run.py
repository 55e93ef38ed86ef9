"""The life of a server: disconnects, cancels, overload, silence, faults of a backend, and the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from running_server import RunningServer
from scripted_model import ScriptedBackend, scripted_model

REPLIES = {"hello": "Hello!", "long": "over the lazy dog " * 200}


@contextmanager
def serving(pause: float = 0.0, **given: Any) -> Iterator[tuple[RunningServer, ScriptedBackend]]:
    backends: list[ScriptedBackend] = []

    def load() -> Any:
        model, backend = scripted_model(REPLIES, context=2048)
        backend.pause = pause
        backends.append(backend)
        return model

    with RunningServer({"scripted": load}, **given) as server:
        with server.client() as http:
            http.post("/v1/completions", json={"model": "scripted", "prompt": "x", "max_tokens": 1})
        yield server, backends[0]


def chat(text: str = "long", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def until(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def states(server: RunningServer) -> list[str]:
    with server.client() as http:
        return [record["state"] for record in http.get("/requests").json()["requests"]]


def free_pages(server: RunningServer) -> int:
    (_, model), *_ = list(server.registry.loaded())
    time.sleep(0.3)  # the engine notes its numbers now and then
    return int(model.statistics().free_pages)  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [True, False])
def test_who_goes_ends_the_request(stream: bool) -> None:
    with serving(pause=0.02) as (server, backend):
        before = free_pages(server)
        # Who is gone before the model has heard of the request never was there: wait until it runs.
        address = httpx.URL(server.url)
        going = HTTPConnection(address.host, address.port or 80, timeout=60)
        body, headers = json.dumps(chat(stream=stream)), {"content-type": "application/json"}
        going.request("POST", "/v1/chat/completions", body, headers)
        assert until(lambda: states(server)[0] == "running")
        going.close()
        # Within a second on a machine that does nothing else.
        assert until(lambda: states(server)[0] == "aborted")
        assert until(lambda: free_pages(server) == before)
        steps = backend.steps
        time.sleep(0.2)
        assert backend.steps <= steps + 1


def test_a_storm_of_disconnects() -> None:
    with serving(pause=0.002) as (server, _):
        before = free_pages(server)

        def go(number: int) -> None:
            with server.client() as http, http.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply:
                lines = reply.iter_lines()
                for _ in range(number % 7):
                    next(lines)

        threads = [threading.Thread(target=go, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        began = time.monotonic()
        with server.client() as http:
            reply = http.post("/v1/chat/completions", json=chat("hello"))
        assert reply.json()["choices"][0]["message"]["content"] == "Hello!"
        assert time.monotonic() - began < 5
        assert until(lambda: free_pages(server) == before)
        assert set(states(server)) <= {"aborted", "finished"}


def test_cancelling_by_id() -> None:
    with serving(pause=0.01) as (server, _), server.client() as http, server.client() as other:
        with http.stream(
            "POST", "/v1/chat/completions", json=chat(stream=True), headers={"x-request-id": "r1"}
        ) as reply:
            lines = reply.iter_lines()
            next(lines)
            assert other.get("/requests").json()["requests"][0]["state"] in ("queued", "running")
            assert other.delete("/requests/r1").json()["cancelled"] is True
            rest = [line for line in lines if line.startswith("data:")]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2][6:])["choices"][0]["finish_reason"] == "stop"
        assert states(server)[0] == "aborted"


def test_a_full_queue_is_429() -> None:
    with serving(pause=0.02, max_waiting=2) as (server, _):
        statuses: list[httpx.Response] = []

        def go() -> None:
            with server.client() as http:
                statuses.append(http.post("/v1/chat/completions", json=chat(max_tokens=20)))

        (_, model), *_ = list(server.registry.loaded())
        threads = [threading.Thread(target=go) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert model is not None
        found = {reply.status_code for reply in statuses}
        assert 200 in found
        assert found <= {200, 429}
        for reply in statuses:
            if reply.status_code == 429:
                assert 1 <= int(reply.headers["retry-after"]) <= 120
                assert reply.json()["error"]["type"] == "rate_limit_error"
        assert (
            len([r for r in statuses if r.status_code == 200]) + len([r for r in statuses if r.status_code == 429])
            == 100
        )
        with server.client() as http:
            reply = http.post("/v1/chat/completions", json=chat(n=3))
        assert reply.status_code == 400


def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.server.reply.QUIET_SECONDS", 0.1)
    with serving(pause=0.6) as (server, _), server.client() as http:
        with http.stream("POST", "/v1/chat/completions", json=chat("hello", stream=True)) as reply:
            lines = [line for line in reply.iter_lines() if line]
        comments = [line for line in lines if line.startswith(":")]
        assert comments
        empty = [
            line for line in lines if line.startswith("data: {") and not json.loads(line[6:])["choices"][0]["delta"]
        ]
        assert len(empty) >= 2  # one of the silence, and the finish


def test_a_fault_of_the_backend_is_an_event_and_no_hang() -> None:
    with serving(pause=0.01) as (server, backend), server.client() as http:
        with http.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply:
            lines = reply.iter_lines()
            next(lines)
            backend.fail = True
            rest = [line for line in lines if line.startswith("data:")]
        error = json.loads(rest[-2][6:])["error"]
        assert rest[-1] == "data: [DONE]"
        assert "0x7f00" not in str(error)
        assert "somewhere" not in str(error)
        backend.fail = False
        assert until(lambda: states(server)[0] == "failed")
        assert http.post("/v1/chat/completions", json=chat("hello")).status_code == 200
        backend.fail = True
        for _ in range(2):
            assert http.post("/v1/chat/completions", json=chat()).status_code == 503
        assert http.get("/health").json() == {"status": "dead"}
        # The model is loaded again for whoever asks next.
        assert http.post("/v1/chat/completions", json=chat("hello")).status_code == 200
        assert http.get("/health").json() == {"status": "ok"}


def test_health_while_the_first_model_loads() -> None:
    go_on = threading.Event()

    def load() -> Any:
        assert go_on.wait(30)
        return scripted_model(REPLIES)[0]

    with RunningServer({"scripted": load}) as server, server.client() as http:

        def ask() -> None:
            with server.client() as other:
                other.post("/models/load", json={"model": "scripted"})

        asking = threading.Thread(target=ask)
        asking.start()
        assert until(lambda: http.get("/health").json() == {"status": "loading"})
        assert http.get("/health").status_code == 503
        assert http.get("/v1/models").json()["data"][0]["state"] == "loading"
        go_on.set()
        asking.join()
        assert http.get("/health").status_code == 200


def test_the_end_waits_for_who_runs() -> None:
    with serving(pause=0.01) as (server, _), server.client() as http, server.client() as other:
        with http.stream("POST", "/v1/chat/completions", json=chat(stream=True, max_tokens=60)) as reply:
            lines = reply.iter_lines()
            next(lines)
            assert other.get("/health").json() == {"status": "ok"}
            server.signal()
            assert until(lambda: server.app.drain.draining)
            refused = other.post("/v1/chat/completions", json=chat("hello"))
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "draining"
            assert "retry-after" in refused.headers
            with server.client() as third:
                assert third.get("/health").status_code == 503
                assert third.get("/live").status_code == 200
            rest = [line for line in lines if line.startswith("data:")]
        assert json.loads(rest[-2][6:])["choices"][0]["finish_reason"] == "length"
        assert server.join()


def test_the_end_does_not_wait_for_ever() -> None:
    with serving(pause=0.05, drain_timeout=0.3) as (server, _), server.client() as http:
        with http.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply:
            lines = reply.iter_lines()
            next(lines)
            began = time.monotonic()
            server.signal()
            rest = [line for line in lines if line.startswith("data:")]
        assert json.loads(rest[-2][6:])["error"]["code"] == "draining"
        assert server.join()
        assert time.monotonic() - began < 5


def test_a_second_signal_ends_it_at_once() -> None:
    with (
        serving(pause=0.05) as (server, _),
        server.client() as http,
        http.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as reply,
    ):
        next(reply.iter_lines())
        server.signal()
        server.signal()
        assert server.join(5)


def _ended(text: str) -> float:
    counts = [line for line in text.splitlines() if line.startswith("honed:request_success_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def test_metrics_reconcile() -> None:
    with serving() as (server, _), server.client() as http:
        for _ in range(3):
            assert http.post("/v1/chat/completions", json=chat("hello", n=2)).status_code == 200
        http.post("/v1/chat/completions", json=chat(max_tokens=5))
        # A reply is counted when all of it was sent, which may be after it was read.
        assert until(lambda: _ended(http.get("/metrics").text) == 8)
        text = http.get("/metrics").text
        stats = http.get("/stats").json()["models"][0]
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }
    label = '{model_name="scripted"}'
    assert values[f"honed:request_accepted_total{label}"] == 8
    assert values['honed:request_success_total{finished_reason="stop",model_name="scripted"}'] == 7
    assert values['honed:request_success_total{finished_reason="length",model_name="scripted"}'] == 1
    assert values[f"honed:generation_tokens_total{label}"] > 0
    assert values[f"honed:time_to_first_token_seconds_count{label}"] == 4
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert values[f"honed:{name}{label}"] >= 0
    for name in ("prefix_cache_queries_total", "prefix_cache_hits_total", "num_preemptions_total"):
        assert f"honed:{name}{label}" in values
    assert stats["time_to_first_token"]["p50"] > 0
    assert len(stats["history"]) == 300


def test_tokenize_routes() -> None:
    with serving() as (server, _), server.client() as http:
        tokens = http.post("/tokenize", json={"model": "scripted", "prompt": "the fox"}).json()
        assert tokens["count"] == len(tokens["tokens"])
        assert http.post("/tokenize", json={"content": "the fox"}).json()["tokens"] == tokens["tokens"]
        back = http.post("/detokenize", json={"tokens": tokens["tokens"]}).json()
        assert back == {"prompt": "the fox", "content": "the fox"}
        messages = [{"role": "user", "content": "hello"}]
        count = http.post("/tokenize", json={"messages": messages}).json()["count"]
        used = http.post("/v1/chat/completions", json=chat("hello")).json()["usage"]
        assert count == used["prompt_tokens"]
        info = http.get("/tokenizer_info").json()
        assert info["bos_token"] == "<s>"
        assert info["chat_template"]
        assert http.post("/tokenize", json={}).status_code == 400
