"""Items 21 to 23, 25: clients that go, caches and queues that are full, and faults of one request among others."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from honed.api.language_model import LanguageModel
from running_server import RunningServer
from scripted_server import at_rest, chat, completion, numbers, scripted_server, until


def raw(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def connected(server: RunningServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    found: list[Any] = [None] * count

    def run(number: int) -> None:
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return found


PATHS = {
    "/v1/chat/completions": chat("long", stream=True),
    "/v1/completions": completion("long", stream=True, ignore_eos=True),
    "/v1/responses": {"model": "scripted", "input": "long", "stream": True},
    "/v1/messages": {"model": "scripted", "max_tokens": 1500, "messages": chat("long")["messages"], "stream": True},
    "/api/chat": {"model": "scripted", "messages": chat("long")["messages"]},
}


QUICK = ("/v1/chat/completions", "/v1/messages")


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=() if path in QUICK else pytest.mark.thorough) for path in PATHS]
)
def test_21_a_disconnect_at_any_point_frees_what_was_held(path: str) -> None:
    whole = raw(path, PATHS[path])
    draw = random.Random(path)
    with scripted_server(pause=0.003) as (server, _):
        # Within the head, within the body, just after, before and after the first bytes of the reply, in its middle.
        for cut in (0, 30, len(whole) - 20, len(whole) - 1):
            with connected(server) as connection:
                connection.sendall(whole[:cut])
        for read in (None, 0, 1, 400, 2000):
            with connected(server) as connection:
                connection.sendall(whole)
                if read is not None:
                    time.sleep(draw.random() * 0.05)
                    got = 0
                    while got < read:
                        got += len(connection.recv(read - got))
        assert until(lambda: at_rest(server))
        with server.client() as http:
            assert http.post("/v1/chat/completions", json=chat()).status_code == 200


def test_21_pages_are_free_within_a_second() -> None:
    def once(stream: bool) -> float:
        with connected(server) as connection:
            connection.sendall(raw("/v1/chat/completions", chat("long", stream=stream)))
            assert until(lambda: numbers(server)["honed:kv_cache_usage_perc"] > 0)
        began = time.monotonic()
        assert until(lambda: at_rest(server))
        return time.monotonic() - began

    with scripted_server(pause=0.01) as (server, _):
        for stream in (True, False):
            # The best of three: others may have the processor meanwhile.
            assert min(once(stream) for _ in range(3)) < 1


def test_21_a_storm_of_200_cancellations() -> None:
    with scripted_server(pause=0.002, max_waiting=512) as (server, _):

        def go(number: int) -> None:
            with connected(server) as connection:
                connection.sendall(raw("/v1/chat/completions", chat("long", stream=number % 3 > 0, n=1 + number % 2)))
                time.sleep(0.001 * (number % 50))
                if number % 4 == 0 and number % 3 > 0:
                    connection.recv(200)

        in_threads(200, go)
        began = time.monotonic()
        with server.client() as http:
            reply = http.post("/v1/chat/completions", json=chat())
        assert reply.json()["choices"][0]["message"]["content"] == "Hello!"
        assert time.monotonic() - began < 5
        assert until(lambda: at_rest(server))
        (_, model), *_ = list(server.registry.loaded())
        assert isinstance(model, LanguageModel)
        engine = model._engine
        model.close()  # it belongs to its thread until then
        engine.check_integrity()


def texts(server: RunningServer, count: int) -> list[tuple[str, int]]:
    def go(number: int) -> tuple[str, int]:
        body = chat("long", max_tokens=60 + number, temperature=0.9, seed=number, user=str(number))
        with server.client() as http:
            reply = http.post("/v1/chat/completions", json=body).json()
        return reply["choices"][0]["message"]["content"], reply["usage"]["completion_tokens"]

    return in_threads(count, go)


def test_22_a_full_cache_changes_no_reply() -> None:
    with scripted_server(pages=256) as (server, _):
        free = [texts(server, 1)[0], *texts(server, 12)[1:]]
        assert numbers(server)["honed:num_preemptions_total"] == 0
    with scripted_server(pages=8, pause=0.001) as (server, _):
        assert texts(server, 12) == free
        assert numbers(server)["honed:num_preemptions_total"] > 0
        assert until(lambda: at_rest(server))


def test_22_what_can_never_fit_is_400() -> None:
    with scripted_server(pages=4) as (server, _), server.client() as http:
        reply = http.post("/v1/chat/completions", json=chat("the fox " * 200))
        assert reply.status_code == 400
        assert "128" in reply.json()["error"]["message"]


def test_23_short_requests_do_not_starve_behind_long_ones() -> None:
    with scripted_server(pause=0.003) as (server, _):
        going = threading.Event()

        def long(_: int) -> None:
            with server.client() as http:
                while not going.is_set():
                    http.post(
                        "/v1/completions", json=completion("the quick fox " * 150, max_tokens=30, ignore_eos=True)
                    )

        threads = [threading.Thread(target=long, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.3)
            with server.client() as http:
                for _ in range(3):
                    began = time.monotonic()
                    assert http.post("/v1/chat/completions", json=chat()).status_code == 200
                    assert time.monotonic() - began < 10
        finally:
            going.set()
            for thread in threads:
                thread.join(60)


class _Bad:
    """A constraint that breaks after some tokens."""

    def __init__(self, tokens: int) -> None:
        self._left = tokens

    ended = False

    def masks(self, proposal: Any) -> Any:
        if self._left <= 0:
            raise ZeroDivisionError("at 0x7f0012345678 in /home/somebody/secret.py")
        import numpy as np

        return np.full((1 + len(proposal), 1 << 10), 0xFFFFFFFF, np.uint32)[:, : self.words]

    words = 1

    def accept(self, token: int) -> None:
        self._left -= 1

    def forced(self) -> list[int]:
        return []


def test_25_a_fault_in_one_request_is_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from honed.server.shape import Shape

    with scripted_server(pause=0.002) as (server, backend):
        alone = texts(server, 6)
        _Bad.words = (backend.vocabulary + 31) // 32
        constraint = Shape.constraint
        bad = threading.local()

        def constrained(shape: Shape) -> Any:
            return _Bad(7) if getattr(bad, "now", False) else constraint(shape)

        monkeypatch.setattr(Shape, "constraint", constrained)
        failed: list[httpx.Response] = []

        def break_one() -> None:
            # Marked by its text, in the loop's thread, where constraints are made.
            with server.client() as http:
                failed.append(http.post("/v1/chat/completions", json=chat("long", max_tokens=90, cache_salt="bad")))

        adds = type(server.app.service)._add_runs

        def add_runs(service: Any, runs: Any, model: Any, prepared: Any, key: str) -> None:
            bad.now = prepared.call.cache_salt == "bad"
            try:
                adds(service, runs, model, prepared, key)
            finally:
                bad.now = False

        monkeypatch.setattr(type(server.app.service), "_add_runs", add_runs)
        breaking = threading.Thread(target=break_one)
        breaking.start()
        assert texts(server, 6) == alone
        breaking.join(60)
        assert failed[0].status_code == 500
        assert failed[0].json()["error"]["code"] == "internal_error"
        assert "0x7f" not in failed[0].text
        assert "secret" not in failed[0].text
        assert until(lambda: at_rest(server))
        assert numbers(server)["honed:request_failed_total"] == 1
