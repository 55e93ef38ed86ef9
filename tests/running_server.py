"""A server of scripted or real models in a thread of the test's process, on a free port of loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from honed.server.app import ServerApp
from honed.server.registry import Model, ModelSpec, Registry
from honed.server.run import Server, bound, made_app, made_server
from honed.server.settings import ServerSettings


class _ThreadServer(Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they belong to the main thread


class RunningServer:
    """Use it in a with statement. url: of its root. models: by name, made when they are asked for, in a thread."""

    def __init__(self, models: Mapping[str, Callable[[], Model]], sizes: Mapping[str, int] | None = None, **given: Any):
        limits = {name: given.pop(name, None) for name in ("memory_limit", "idle_unload")}
        self._settings = ServerSettings(port=0, **limits, **given)
        self._models = models
        self._sizes = sizes or {}
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test server", daemon=True)
        self.url = ""
        self.app: ServerApp
        self.loop: asyncio.AbstractEventLoop
        self._server: Server

    @property
    def registry(self) -> Registry:
        return self.app.service.registry

    def client(self, **given: Any) -> httpx.Client:
        """For its root."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **given)

    def signal(self) -> None:
        """As SIGTERM."""
        self.loop.call_soon_threadsafe(self._server.handle_exit, 15, None)

    def join(self, seconds: float = 30) -> bool:
        """Waits for its end; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def __enter__(self) -> RunningServer:
        self._thread.start()
        assert self._ready.wait(60)
        if self._fault is not None:
            raise self._fault
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(setattr, self._server, "should_exit", True)
            assert self.join(), "the server does not end"
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:
            self._fault = fault
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        registry = Registry(
            [ModelSpec(name, name) for name in self._models],
            lambda source: self._models[source](),
            lambda source: self._sizes.get(source, 1),
            memory_limit=self._settings.memory_limit,
            idle_unload=self._settings.idle_unload,
        )
        self.app = made_app(registry, self._settings)
        listening = bound(self._settings)
        made = made_server(self.app, self._settings)
        self._server = _ThreadServer(made.config, self.app, self._settings.drain_timeout)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.ensure_future(self._server.serve(sockets=[listening]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.005)
        self._ready.set()
        await serving
