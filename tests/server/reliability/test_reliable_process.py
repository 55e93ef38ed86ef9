"""Items 24 and 26 to 30: signals, the same tokens whatever happens, keys, what is told to whom, and a short soak."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import honed
from chatty_model import with_template
from honed.bench.load.connection import Address
from honed.bench.load.plan import LoadPlan
from honed.bench.load.soak import soak
from honed.server.auth import OPEN
from running_server import RunningServer
from scripted_server import completion, scripted_server, until

KEYS = ("first-key-1", "second-key-2")


@pytest.fixture(scope="module")
def tiny(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_template(tiny_llama, tmp_path_factory.mktemp("reliable") / "tiny")


@contextlib.contextmanager
def process(*words: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server, once it has loaded its model, and its address."""
    command = [sys.executable, "-m", "honed.cli.main", "serve", *map(str, words), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stderr is not None
            url = ""
            for line in started.stderr:
                if found := re.search(r"listening on (\S+)", line):
                    url = found[1]
                if ": loaded" in line:
                    break
            yield started, url
        finally:
            started.kill()


def tokens(url: str, **more: Any) -> str:
    body = {"model": "tiny", "prompt": "the a of to and in is it " * 9, "max_tokens": 40, "temperature": 0.9, "seed": 5}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        reply = http.post("/v1/completions", json=body | {"ignore_eos": True} | more)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["text"])


def test_26_the_same_tokens_whatever_happens(tiny: Path) -> None:
    def serving(threads: int) -> RunningServer:
        return RunningServer({"tiny": lambda: honed.load(tiny, threads=threads, context=256, sequences=16)})

    with serving(1) as server:
        alone = tokens(server.url)
        assert tokens(server.url) == alone  # with its prompt in the prefix cache
        assert tokens(server.url, cache_salt="other") == alone  # and without
        assert tokens(server.url, seed=6) != alone

        async def together() -> list[str]:
            async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:

                async def ask(number: int) -> str:
                    body = {"model": "tiny", "prompt": "the a of to and in is it " * 9, "max_tokens": 40}
                    body |= {"temperature": 0.9, "seed": 5, "ignore_eos": True} if number % 2 else {"seed": number}
                    return str((await http.post("/v1/completions", json=body)).json()["choices"][0]["text"])

                return await asyncio.gather(*(ask(number) for number in range(16)))

        assert set(asyncio.run(together())[1::2]) == {alone}
    with serving(2) as server:
        assert tokens(server.url) == alone


def test_24_a_signal_drains_and_leaves_nothing_behind(tiny: Path) -> None:
    with process(f"tiny={tiny}", "--context", 256, "--drain-timeout", 20) as (server, url):
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        assert len(tokens(url)) > 0
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            body = {"model": "tiny", "prompt": "the", "max_tokens": 200, "ignore_eos": True, "stream": True}
            with http.stream("POST", "/v1/completions", json=body) as reply:
                lines = reply.iter_lines()
                next(lines)
                orphans = [int(pid) for pid in children.read_text().split()]
                server.send_signal(signal.SIGTERM)
                rest = [line for line in lines if line.startswith("data:")]
            assert rest[-1] == "data: [DONE]"
        assert server.wait(30) == 0
        assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))


def test_24_a_second_signal_ends_it(tiny: Path) -> None:
    with process(f"tiny={tiny}", "--context", 256) as (server, url), httpx.Client(base_url=url, timeout=60) as http:
        body = {"model": "tiny", "prompt": "the", "max_tokens": 250, "ignore_eos": True, "stream": True, "n": 16}
        with contextlib.suppress(httpx.HTTPError), http.stream("POST", "/v1/completions", json=body) as reply:
            next(reply.iter_lines())
            server.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            server.wait(20)
            assert time.monotonic() - began < 10


def test_27_every_route_but_three_asks_for_the_key() -> None:
    with scripted_server(api_keys=KEYS) as (server, _), server.client() as http:
        routes = [(path, method) for path, methods in _routes(server) for method in methods]
        assert len(routes) > 30
        for path, method in routes:
            for key in ("", "wrong-key-1", KEYS[0][:-1], KEYS[0] + "1"):
                reply = http.request(method, path, headers={"x-api-key": key})
                guarded = path not in OPEN or method not in ("GET", "HEAD")
                assert (reply.status_code == 401) == guarded, (method, path)
        assert {path for path, _ in routes} >= OPEN


def _routes(server: RunningServer) -> Iterator[tuple[str, list[str]]]:
    """Those of /openapi.json, and those that are in no schema."""
    for path, methods in server.app.api.openapi()["paths"].items():
        yield re.sub(r"\{[^}]*\}", "x", path), [method.upper() for method in methods]
    yield from (("/", ["GET", "HEAD"]), ("/openapi.json", ["GET"]), ("/health", ["HEAD"]), ("/live", ["HEAD"]))


def test_28_errors_hold_no_places_of_this_machine(tiny: Path) -> None:
    def broken() -> Any:
        return honed.load(tiny.parent / "none")

    with (
        RunningServer({"none": broken, "tiny": lambda: honed.load(tiny, context=64)}) as server,
        server.client() as http,
    ):
        replies = [
            http.post("/v1/completions", json={"model": model, "prompt": "the", "max_tokens": 1, **more})
            for model, more in (
                ("none", {}),
                ("\x1b[31m/etc", {}),
                ("tiny", {"suffix": "x"}),
                ("tiny", {"guided_regex": "("}),
            )
        ]
    for reply in replies:
        assert reply.status_code >= 400
        assert str(tiny.parent) not in reply.text
        assert not re.search(r"0x[0-9a-f]{6}|Traceback|\.py|\x1b|/home/|/root/|/tmp/", reply.text), reply.text


_watched: list[object] = []
_watching = False


def _audit(event: str, given: tuple[Any, ...]) -> None:
    if _watching and event in ("socket.connect", "socket.getaddrinfo"):
        where = given[1] if event == "socket.connect" else given
        if not str(where[0] if isinstance(where, tuple) else where).startswith(("127.0.0.1", "localhost", "/")):
            _watched.append((event, where))


def test_29_no_request_leaves_this_machine(tiny: Path) -> None:
    global _watching
    sys.addaudithook(_audit)
    away = "https://example.org/x"
    with RunningServer({"tiny": lambda: honed.load(tiny, context=64)}) as server, server.client() as http:
        _watching = True
        try:
            image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": away}}]}]
            schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": away}}}
            for path, body in (
                ("/v1/completions", {"model": away, "prompt": "the"}),
                ("/v1/chat/completions", {"model": "tiny", "messages": image}),
                ("/v1/chat/completions", {"model": "tiny", "messages": [], "response_format": schema}),
                ("/v1/completions", {"model": "tiny", "prompt": away, "guided_json": {"$ref": away}}),
                ("/models/load", {"model": "hub-owner/hub-model"}),
                ("/v1/responses", {"model": "tiny", "input": "the", "tools": [{"type": "mcp", "server_url": away}]}),
                ("/v1/messages", {"model": "tiny", "max_tokens": 1, "messages": image}),
                ("/v1/completions", {"model": "tiny", "prompt": "the", "max_tokens": 1}),
            ):
                assert http.post(path, json=body).status_code < 500
        finally:
            _watching = False
    assert not _watched


def test_30_a_short_soak(tiny: Path) -> None:
    shares: dict[str, Any] = {"cancel": 0.1, "invalid": 0.05, "requests": 100_000, "seconds": 12, "seed": 4}
    plans = [
        LoadPlan(kind="chat", streams=12, prompt_tokens=12, new_tokens=16, **shares),
        LoadPlan(streams=6, prompt_tokens=60, shared_tokens=40, new_tokens=24, **shares),
    ]
    with process(f"tiny={tiny}", "--context", 256, "--sequences", 4, "--threads", 1) as (server, url):
        found = asyncio.run(soak(Address.of(url), server.pid, plans, "tiny", every=0.2))
        assert not found.faults
        assert found.count("whole") > 20
        assert found.count("cancel") + found.count("invalid") > 0
        with pytest.raises(httpx.HTTPStatusError):
            httpx.post(f"{url}/v1/completions", json=completion()).raise_for_status()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
