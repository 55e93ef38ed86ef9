"""How a server is run, as one value. Not here: how its models are run (`backends/options.py`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.errors import ParameterError
from honed.parameters import real_number, whole_number

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
MOST_BODY = 1 << 30
_SHORTEST_KEY = 8


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What `honed serve` is told, but for models.

    api_keys: any of them opens the server; none: everybody may use it. tls_cert, tls_key: PEM files, both or none.
    cors_origins: pages of these origins may use the server from a browser. max_body: bytes of a request. max_waiting:
    requests of a model that wait at most; queue_timeout: seconds that one waits. drain_timeout: seconds that running
    replies have after SIGTERM. memory_limit: bytes of all loaded models; idle_unload: seconds after which a model that
    nobody used is unloaded; None for never. Nothing makes it log prompts or replies.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cors_origins: tuple[str, ...] = ()
    max_body: int = 4 << 20
    max_waiting: int = 256
    queue_timeout: float | None = None
    drain_timeout: float = 30.0
    log_json: bool = False
    memory_limit: int | None = None
    idle_unload: float | None = None

    def __post_init__(self) -> None:
        whole_number("port", self.port, 0, 65535)
        whole_number("max_body", self.max_body, 1024, MOST_BODY)
        whole_number("max_waiting", self.max_waiting, 1, 1 << 20)
        real_number("drain_timeout", self.drain_timeout, 0, 86400)
        if self.queue_timeout is not None:
            real_number("queue_timeout", self.queue_timeout, None, 86400, over=0)
        if self.idle_unload is not None:
            real_number("idle_unload", self.idle_unload, 1, 365 * 86400)
        if self.memory_limit is not None:
            whole_number("memory_limit", self.memory_limit, 1)
        for key in self.api_keys:
            if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
                # Not the key itself: messages end in logs.
                raise ParameterError(
                    "api_key", f"{len(key)} characters", f"must be at least {_SHORTEST_KEY} printable ASCII characters"
                )
        if (self.tls_cert is None) != (self.tls_key is None):
            given, other = ("tls_cert", "tls_key") if self.tls_key is None else ("tls_key", "tls_cert")
            raise ParameterError(given, str(self.tls_cert or self.tls_key), f"needs {other} beside it")
        _check_origins(self.cors_origins)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or address, without its port, is this machine's own."""
    name = host.strip("[]").lower()
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.endswith(".localhost")


def _check_origins(origins: Sequence[str]) -> None:
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if origin != "*" and (not separator or not scheme or not rest or "/" in rest):
            raise ParameterError("cors_origin", origin, "must be an origin as https://example.org, or *")
