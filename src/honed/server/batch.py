"""The server's routes for a batch file: the whole application in this process, asked without a socket.

Not here: files and lines (`api/offline/batch.py`), and the order and resumption of rows (`api/offline/run.py`).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, Self

from honed.api.offline.batch import answered, request_of
from honed.api.offline.rows import MOST_LINE
from honed.errors import HonedError, MachineError
from honed.server.asgi import App, Message, Scope
from honed.server.errors import RequestError
from honed.server.fields import compact
from honed.server.registry import Model, ModelSpec, Registry
from honed.server.run import made_app
from honed.server.settings import ServerSettings

_MOST_WAITING = 1 << 20
"""Choices that wait at most: who runs a file waits for all of it."""


class BatchServer:
    """One model behind all routes, in a thread with a loop of its own. Use it in a with statement."""

    def __init__(self, spec: ModelSpec, load: Callable[[str], Model]) -> None:
        """load: as of `Registry`."""
        self._spec = spec
        self._load = load
        self._ready: Future[App] = Future()
        self._asked: set[Future[dict[str, Any]]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="batch server", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event

    def __enter__(self) -> Self:
        """Loads the model; errors are those of loading it."""
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def work(self, row: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Implements `honed.api.offline.work.Work`: the response to a line, or why it is none. MachineError where the
        server could answer the same line later."""
        try:
            request = request_of(fields, self._spec.name)
        except HonedError as error:
            return {"error": str(error)}
        asked = self._ask(request.path, compact(request.body).encode())
        with self._lock:
            if self._stopped:
                asked.cancel()
            self._asked.add(asked)
        try:
            result = asked.result()
        except CancelledError:
            raise MachineError("the run was broken off") from None
        finally:
            with self._lock:
                self._asked.discard(asked)
        if result["status"] == 503:
            raise MachineError(result["body"]["error"]["message"])
        return result

    def stop(self) -> None:
        """Ends what is under way; those who wait for it get a MachineError."""
        with self._lock:
            self._stopped = True
            asked = list(self._asked)
        for future in asked:
            future.cancel()

    def _ask(self, path: str, body: bytes) -> Future[dict[str, Any]]:
        return asyncio.run_coroutine_threadsafe(_asked(self._ready.result(), path, body), self._loop)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        registry = Registry([self._spec], self._load, lambda source: 0)
        app = made_app(registry, ServerSettings(max_body=MOST_LINE, max_waiting=_MOST_WAITING))
        async with app.api.router.lifespan_context(app.api):
            try:
                await registry.load(self._spec.name)
            except RequestError as error:
                raise error.__cause__ or error from None
            self._ready.set_result(app.asgi)
            await self._over.wait()


async def _asked(app: App, path: str, body: bytes) -> dict[str, Any]:
    """A POST of JSON over ASGI, and its response, which is JSON as well."""
    place, _, query = path.partition("?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": place,
        "raw_path": place.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": None,
        "server": ("localhost", 80),
    }
    sent = [{"type": "http.request", "body": body, "more_body": False}]
    told: dict[str, Any] = {}
    pieces: list[bytes] = []

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await asyncio.Event().wait()  # nobody goes before the response is there
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            told.update(status=message["status"], headers=dict(message["headers"]))
        else:
            pieces.append(message.get("body", b""))

    await app(scope, receive, send)
    text = b"".join(pieces)
    return answered(told["status"], told["headers"][b"x-request-id"].decode(), json.loads(text) if text else None)
