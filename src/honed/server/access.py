"""The outermost layer: an id for each request, one line of log when it is over, and no traceback for the client."""

from __future__ import annotations

import logging
import re
import secrets
import time

from honed.server.asgi import App, Message, Receive, Scope, Send, header, refuse
from honed.server.caller import Caller, note_caller
from honed.server.errors import Dialects, fault_of

LOG = logging.getLogger("honed.access")
_GIVEN = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_QUIET = frozenset({"/health", "/live", "/metrics"})
"""Asked again and again by machines; logged as debug."""


class AccessLog:
    """Gives the request an id (the client's own, where it sent a plain one), and puts it into the response."""

    def __init__(self, app: App, dialects: Dialects) -> None:
        self._app = app
        self._dialects = dialects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        request_id = given if given is not None and _GIVEN.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        note_caller(scope, Caller(request_id=request_id))
        began = time.perf_counter()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            fault = fault_of(error)
            if status:
                raise
            await refuse(scope, sent, self._dialects, fault)
        finally:
            LOG.log(
                logging.DEBUG if scope["path"] in _QUIET else logging.INFO,
                "request",
                extra={
                    "fields": {
                        "request_id": request_id,
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "seconds": round(time.perf_counter() - began, 4),
                        "client": (scope.get("client") or ("",))[0],
                    }
                },
            )
