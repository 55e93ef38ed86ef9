"""The interface between the server and its middlewares (ASGI 3), and how a middleware refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from honed.server.errors import Dialects, Fault

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def refuse(scope: Scope, send: Send, dialects: Dialects, fault: Fault, *, close: bool = False) -> None:
    """The fault as the whole response. close: the connection ends with it, as the request was not read to its end."""
    body = dialects.body(scope["path"], fault)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **fault.headers}
    if close:
        headers["connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": fault.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name (lower case), None where there is none."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value, "latin-1")
    return None
