"""Which pages may reach a server of this machine.

A browser lets any page send requests to addresses of its user's machine, and a name of the page's own may be made to
mean 127.0.0.1 (DNS rebinding). So a server on loopback answers only where Host is this machine, and where Origin, if a
browser sent one, is this machine too or one of those that the user allowed.
"""

from __future__ import annotations

from collections.abc import Collection

from honed.server.asgi import App, Receive, Scope, Send, header, refuse
from honed.server.errors import Dialects, Fault
from honed.server.settings import is_loopback


class OriginCheck:
    """403 for a foreign Host or Origin. Only for servers on loopback: others have names that nobody here knows."""

    def __init__(self, app: App, dialects: Dialects, allowed: Collection[str]) -> None:
        self._app = app
        self._dialects = dialects
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            for name in ("host", "origin"):
                value = header(scope, name.encode())
                if value is not None and not self._own(name, value):
                    fault = Fault(
                        status=403,
                        message=f"the {name.capitalize()} header is foreign: this server answers programs and pages of "
                        "this machine only; see --cors-origin and --host",
                        code="foreign_origin",
                    )
                    await refuse(scope, send, self._dialects, fault, close=True)
                    return
        await self._app(scope, receive, send)

    def _own(self, name: str, value: str) -> bool:
        if name == "host":
            return is_loopback(_without_port(value))
        if value in self._allowed or "*" in self._allowed:
            return True
        scheme, _, host = value.partition("://")
        return scheme in ("http", "https") and is_loopback(_without_port(host))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
