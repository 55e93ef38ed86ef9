"""Middlewares alone: hosts and origins, bodies, and the order of what they let through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from honed.server.asgi import Message, Receive, Scope, Send
from honed.server.errors import Dialects
from honed.server.limits import BodyLimit
from honed.server.origin import OriginCheck


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back the body that it gets."""
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(app: Any, messages: list[Message] | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of one request; 0 where there was no answer."""
    scope = {
        "type": "http",
        "method": "POST" if messages is not None else "GET",
        "path": "/x",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Message] = []
    waiting = list(messages or [])

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if not sent:
        return 0, b""
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "evil.example:8000"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "https://page.example"}, 200),
        ({"origin": "https://page.example.evil"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "file://"}, 403),
        ({"host": "localhost", "origin": "http://evil.example"}, 403),
    ],
)
def test_who_may_come(headers: dict[str, str], status: int) -> None:
    app = OriginCheck(echo, Dialects(), ["https://page.example"])
    assert ask(app, None, **headers)[0] == status


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts() -> None:
    app = BodyLimit(echo, Dialects(), 10)
    kind = {"content_type": "application/json; charset=utf-8"}
    assert ask(app, [part(b"[1,", True), part(b"2]", False)], **kind) == (200, b"[1,2]")
    assert ask(app, [part(b"x" * 6, True), part(b"x" * 6, True)], **kind)[0] == 413
    assert ask(app, [part(b"", False)], content_length="11", **kind)[0] == 413
    assert ask(app, [part(b"", False)], content_length="-1", **kind)[0] == 413
    assert ask(app, [part(b"1", False)], content_type="text/plain")[0] == 415
    assert ask(app, [part(b"1", False)])[0] == 415
    assert ask(app, [part(b"", False)])[0] == 200
    assert ask(app, [part(b"1", True), {"type": "http.disconnect"}], **kind)[0] == 0
    assert ask(app, big="x" * 70000)[0] == 431


def test_a_client_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.server.limits.SILENT_SECONDS", 0.05)
    assert ask(BodyLimit(echo, Dialects(), 10), [part(b"1", True)], content_type="application/json")[0] == 408
