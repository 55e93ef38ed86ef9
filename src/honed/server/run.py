"""The process of a server: sockets, signals, and the end. SIGTERM or Ctrl-C drains: no new work, running replies go on
up to the limit, the rest end with an error event. A second signal ends it at once."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any

import uvicorn

from honed.errors import MachineError, ParameterError, plain
from honed.server.app import ServerApp
from honed.server.connections import BoundedProtocol
from honed.server.errors import Fault, RequestError
from honed.server.history import History
from honed.server.logs import set_up
from honed.server.metrics import Metrics
from honed.server.registry import Model, ModelSpec, Registry
from honed.server.service import Service
from honed.server.settings import ServerSettings

BACKLOG = 2048
_LAST_SECONDS = 2.0
"""For the error events of replies that were stopped to go out."""
_MOST_DESCRIPTORS = 65536


def serve(
    models: Sequence[ModelSpec],
    settings: ServerSettings,
    load: Callable[[str], Model],
    size: Callable[[str], int],
    *,
    preload: Sequence[str] = (),
    say: Callable[[str], None],
) -> None:
    """Serves until a signal comes. load, size: as of `Registry`. preload: names that are loaded before the first
    request is; say: one line for who started it, once the server listens. Address in use: MachineError."""
    set_up(as_json=settings.log_json)
    _raise_descriptors()

    async def main() -> None:
        registry = Registry(models, load, size, memory_limit=settings.memory_limit, idle_unload=settings.idle_unload)
        await _serve(registry, settings, preload, say)

    _run(main())


def _run(main: Coroutine[Any, Any, None]) -> None:
    """In uvloop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


class Server(uvicorn.Server):
    """uvicorn's, which drains in our way."""

    def __init__(self, config: uvicorn.Config, app: ServerApp, drain_timeout: float) -> None:
        super().__init__(config)
        self._honed = app
        self._drain_timeout = drain_timeout
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handlers of the loop, and those from before afterwards; nothing is raised again, the end is in order."""
        loop = self._loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal."""
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._drain())
        else:
            self.force_exit = self.should_exit = True
            self._honed.service.stop(Fault(status=503, message="the server was stopped", code="stopped"))

    async def _drain(self) -> None:
        drain = self._honed.drain
        drain.draining = True
        if not await drain.wait(self._drain_timeout):
            self._honed.service.stop(
                Fault(status=503, message="the server is shutting down", code="draining", retry_after=10)
            )
            await drain.wait(_LAST_SECONDS)
        self.should_exit = True


async def _serve(
    registry: Registry, settings: ServerSettings, preload: Sequence[str], say: Callable[[str], None]
) -> None:
    app = made_app(registry, settings)
    listening = bound(settings)
    try:
        server = made_server(app, settings)
    except BaseException:
        listening.close()
        raise
    scheme = "https" if settings.tls_cert else "http"
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"listening on {scheme}://{shown}:{port}")
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))

    async def load_first() -> None:
        for name in preload:
            try:
                await registry.load(name)
            except RequestError as error:
                # Who started the server may know all of it.
                raise error.__cause__ or error from None

    # While it listens already: who asks for its health is told that it loads, and a signal ends it.
    loading = asyncio.ensure_future(load_first())
    await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
    if loading.done() and loading.exception() is not None:
        server.should_exit = True
        await serving
        loading.result()
    await serving
    loading.cancel()


def made_app(registry: Registry, settings: ServerSettings) -> ServerApp:
    """The application, for the event loop that runs."""
    service = Service(
        registry,
        Metrics(registry),
        History(),
        max_waiting=settings.max_waiting,
        queue_timeout=settings.queue_timeout,
    )
    return ServerApp(service, settings)


def made_server(app: ServerApp, settings: ServerSettings) -> Server:
    """What serves it. TLS files that cannot be used: ParameterError."""
    config = uvicorn.Config(
        app.asgi,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(_LAST_SECONDS),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise ParameterError("tls_cert", str(settings.tls_cert), f"cannot be used: {error}") from None
    return Server(config, app, settings.drain_timeout)


def bound(settings: ServerSettings) -> socket.socket:
    """A socket that listens. ParameterError for the host, MachineError for a port that is in use."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ParameterError("host", settings.host, f"cannot be listened on: {error.strerror or error}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise MachineError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}; give another --port"
        ) from None
    return listening


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _MOST_DESCRIPTORS) if hard != resource.RLIM_INFINITY else _MOST_DESCRIPTORS
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def warn(settings: ServerSettings) -> None:
    """Loud, where anybody who reaches the machine may use the server."""
    if not settings.is_local and not settings.api_keys:
        sys.stderr.write(
            plain(
                f"honed: WARNING: {settings.host} can be reached from other machines, and there is no --api-key: "
                "everybody there may use this server"
            )
            + "\n"
        )
