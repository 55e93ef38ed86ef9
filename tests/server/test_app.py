"""What every route has in common: keys, origins, limits, dialects of errors, and an honest /openapi.json."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from honed.server.auth import OPEN
from running_server import RunningServer
from scripted_model import scripted_model

KEY, OTHER = "first-key-1", "second-key-2"
REPLIES = {"hello": "Hello!", "long": "over the lazy dog " * 40}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer({"scripted": lambda: scripted_model(REPLIES)[0]}, max_body=1 << 16) as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningServer]:
    with RunningServer({"scripted": lambda: scripted_model(REPLIES)[0]}, api_keys=(KEY, OTHER)) as running:
        yield running


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def test_every_route_but_health_asks_for_the_key(guarded: RunningServer) -> None:
    with guarded.client() as http:
        routes = guarded.app.api.openapi()["paths"]
        assert len(routes) > 12
        for path, methods in routes.items():
            for method in methods:
                plain = path.replace("{name}", "x").replace("{request_id}", "x")
                for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": KEY + "x"}):
                    reply = http.request(method, plain, headers=headers, json={} if method == "post" else None)
                    if path in OPEN:
                        assert reply.status_code == 200
                    else:
                        assert reply.status_code == 401, (method, path)
                        assert "this server asks for a key" in reply.text  # in the form of its dialect
        assert http.get("/openapi.json").status_code == 401
        assert http.get("/").status_code == 200


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {KEY}"}, {"x-api-key": OTHER}])
def test_either_header_opens(guarded: RunningServer, headers: dict[str, str]) -> None:
    with guarded.client(headers=headers) as http:
        assert http.get("/v1/models").status_code == 200
        assert http.post("/v1/chat/completions", json=chat()).status_code == 200


def test_no_key_sees_requests_of_another(guarded: RunningServer) -> None:
    headers = {"x-api-key": KEY, "x-request-id": "mine-1"}
    with guarded.client(headers=headers) as mine, guarded.client(headers={"x-api-key": OTHER}) as others:
        assert mine.post("/v1/chat/completions", json=chat()).headers["x-request-id"] == "mine-1"
        found = mine.get("/requests").json()["requests"]
        assert found[0]["id"] == "mine-1"
        assert found[0]["state"] == "finished"
        assert "mine-1" not in others.get("/requests").text
        assert others.delete("/requests/mine-1").status_code == 404
        assert mine.delete("/requests/mine-1").json() == {"id": "mine-1", "cancelled": False}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"\\ud800"', "application/json", 400),
        (b'{"model": NaN}', "application/json", 400),
        (b"[" * 20000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"model": "scripted", "messages": "x"}', "text/plain", 415),
        (b"model=scripted", "application/x-www-form-urlencoded", 415),
        (b"x" * (1 << 17), "application/json", 413),
    ],
)
def test_bodies_that_are_none(server: RunningServer, content: bytes, kind: str, status: int) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", content=content, headers={"content-type": kind})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
    assert "/" not in reply.json()["error"]["message"].replace("application/json", "")


def test_a_body_is_refused_while_it_is_read(server: RunningServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"%x\r\n%s\r\n" % (1 << 17, b"x" * (1 << 17)))  # and no end
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_hostile_texts(server: RunningServer) -> None:
    with server.client() as http:
        reply = http.post("/v1/chat/completions", json=chat("a\0b"))
        assert reply.status_code == 200
        body = json.dumps(chat()).replace("hello", "\\ud83d").encode()
        reply = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 400
        assert http.get("/v1/models", headers={"x-big": "x" * (1 << 20)}).status_code == 431


def test_refusals_are_quick(server: RunningServer) -> None:
    with server.client() as http:
        http.get("/live")
        for body in (chat(n=10**9), chat(max_tokens=-(10**30)), chat(n=1e300), chat(temperature="x" * 10000)):
            began = time.perf_counter()
            assert http.post("/v1/chat/completions", json=body).status_code == 400
            assert time.perf_counter() - began < 2  # 0.05 on a machine that does nothing else


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}])
def test_foreign_pages_are_kept_out(server: RunningServer, headers: dict[str, str]) -> None:
    with server.client() as http:
        reply = http.get("/v1/models", headers=headers)
    assert reply.status_code == 403
    assert "evil" not in reply.text
    assert "access-control-allow-origin" not in reply.headers


def test_own_pages_may_come(server: RunningServer) -> None:
    with server.client() as http:
        reply = http.get("/v1/models", headers={"origin": server.url})
        assert reply.status_code == 200
        assert "access-control-allow-origin" not in reply.headers


def test_cors_only_where_it_is_asked_for() -> None:
    with (
        RunningServer(
            {"scripted": lambda: scripted_model(REPLIES)[0]}, cors_origins=("https://page.example",), api_keys=(KEY,)
        ) as running,
        running.client() as http,
    ):
        ask = {"origin": "https://page.example", "access-control-request-method": "POST"}
        reply = http.options("/v1/chat/completions", headers=ask)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == "https://page.example"
        assert "access-control-allow-credentials" not in reply.headers
        assert http.get("/v1/models", headers={"origin": "https://other.example"}).status_code == 403


def test_paths_and_methods(server: RunningServer) -> None:
    with server.client() as http:
        assert http.get("/nowhere").json()["error"]["type"] == "not_found_error"
        reply = http.get("/v1/chat/completions")
        assert reply.status_code == 405
        assert "POST" in reply.headers["allow"]
        assert reply.json()["error"]["param"] is None
        assert http.get("/v1/models?foo=bar").status_code == 200
        assert http.head("/").status_code == 200


def test_models(server: RunningServer) -> None:
    with server.client() as http:
        listed = http.get("/v1/models").json()
        assert listed["object"] == "list"
        assert listed["data"][0]["id"] == "scripted"
        assert http.get("/v1/models/scripted").json()["object"] == "model"
        assert http.get("/v1/models/none").status_code == 404
        assert http.post("/models/load", json={"model": "scripted"}).json()["loaded"] is True
        assert http.post("/models/unload", json={"model": "scripted"}).json()["loaded"] is False
        assert http.post("/v1/chat/completions", json=chat()).status_code == 200  # loaded again


def test_openapi_has_every_body_and_reply(server: RunningServer) -> None:
    with server.client() as http:
        document = http.get("/openapi.json").json()
    for path in ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/apply-template"):
        operation = document["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert "422" not in operation["responses"]
