"""The key that opens the server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from honed.server.asgi import App, Receive, Scope, Send, header, refuse
from honed.server.caller import Caller, note_caller
from honed.server.errors import Dialects, Fault

OPEN = frozenset({"/health", "/live", "/"})
"""Paths that need no key: what a load balancer asks, and the page, which asks its user for one."""
_OPEN_PREFIX = "/static/"


class KeyCheck:
    """401 unless a request has one of the keys, as `Authorization: Bearer KEY` or `x-api-key: KEY`.

    All keys are compared, each in constant time, so that the time of an answer tells nothing. With no keys everybody
    may pass.
    """

    def __init__(self, app: App, dialects: Dialects, keys: Sequence[str]) -> None:
        self._app = app
        self._dialects = dialects
        # What names a caller in lists and caches must not be the key.
        self._known = [
            (_digest(key.encode()), hashlib.sha256(b"honed caller " + key.encode()).hexdigest()) for key in keys
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not self._known:
            await self._app(scope, receive, send)
            return
        found = self._found(_given(scope))
        if found is not None:
            known: Caller = scope["honed.caller"]
            note_caller(scope, Caller(key=found, request_id=known.request_id))
        elif not is_open(scope):
            fault = Fault(
                status=401,
                message="this server asks for a key: send it as Authorization: Bearer KEY, or as x-api-key",
                code="invalid_api_key",
            )
            await refuse(scope, send, self._dialects, fault, close=True)
            return
        await self._app(scope, receive, send)

    def _found(self, given: bytes) -> str | None:
        found = None
        digest = _digest(given)  # of one length, so that not even that of a key shows
        for key, name in self._known:
            if hmac.compare_digest(key, digest):
                found = name
        return found


def is_open(scope: Scope) -> bool:
    """Whether a request needs no key."""
    path: str = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in OPEN or path.startswith(_OPEN_PREFIX))


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _given(scope: Scope) -> bytes:
    kind, _, value = (header(scope, b"authorization") or "").partition(" ")
    if kind.lower() == "bearer" and value:
        return value.strip().encode("latin-1")
    return (header(scope, b"x-api-key") or "").encode("latin-1")
