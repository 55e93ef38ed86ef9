"""The server as an ASGI application: routes behind middlewares. Not here: the process around it (`server/run.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from honed.errors import HonedError
from honed.server.access import AccessLog
from honed.server.asgi import App
from honed.server.auth import KeyCheck
from honed.server.dialects import RENDERERS, dialect_routes
from honed.server.drain import Drain, DrainCheck
from honed.server.errors import Dialects, Fault, fault_of
from honed.server.fields import fault_of_validation
from honed.server.limits import BodyLimit
from honed.server.openai.chat import chat_routes
from honed.server.openai.completions import completion_routes
from honed.server.openai.models import model_routes
from honed.server.origin import OriginCheck
from honed.server.page.document import page
from honed.server.service import Service
from honed.server.settings import ServerSettings
from honed.server.tokenize import tokenize_routes
from honed.server.watching import health_of, watching_routes
from honed.version import __version__

_SAID = {
    404: "there is nothing at this path; /openapi.json lists what there is",
    405: "this path is not for this method",
}


class ServerApp:
    """The whole of it. `drain` and `service` are for who runs the process."""

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        self.service = service
        self.drain = Drain()
        self.dialects = Dialects(RENDERERS)
        self.api = self._api()
        self._app = self._guarded(self.api, settings)

    @property
    def asgi(self) -> App:
        """What a server runs."""
        return self._app

    def _api(self) -> FastAPI:
        service = self.service

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            watch = asyncio.ensure_future(service.registry.watch())
            try:
                yield
            finally:
                watch.cancel()
                with suppress(asyncio.CancelledError):
                    await watch
                service.close()
                await service.registry.close()

        api = FastAPI(
            title="honed",
            version=__version__,
            description="Language models of this server, as OpenAI's API has them.",
            docs_url=None,
            redoc_url=None,
            lifespan=lifespan,
            redirect_slashes=False,
        )
        api.include_router(watching_routes(service, self.drain, lambda: health_of(service)))
        api.include_router(model_routes(service.registry))
        api.include_router(chat_routes(service))
        api.include_router(completion_routes(service))
        api.include_router(tokenize_routes(service))
        for routes in dialect_routes(service):
            api.include_router(routes)

        @api.get("/", include_in_schema=False)
        @api.head("/", include_in_schema=False)
        async def front() -> Response:
            headers = {"cache-control": "no-cache", "content-security-policy": page().policy}
            return Response(page().html, media_type="text/html", headers=headers)

        describe = api.openapi
        api.openapi = lambda: without_validation_errors(describe())  # type: ignore[method-assign]
        api.add_exception_handler(HonedError, self._explained)
        api.add_exception_handler(RequestValidationError, self._explained)
        api.add_exception_handler(HTTPException, self._explained)
        api.add_exception_handler(Exception, self._explained)
        return api

    async def _explained(self, request: Request, error: Exception) -> Response:
        if isinstance(error, RequestValidationError):
            fault = fault_of_validation(error)
        elif isinstance(error, HTTPException):
            message = _SAID.get(error.status_code, "the request cannot be read")
            fault = Fault(status=error.status_code, message=message)
        else:
            fault = fault_of(error)
        headers = dict(fault.headers)
        if isinstance(error, HTTPException) and error.headers:
            headers.update(error.headers)  # of 405: which methods there are
        body = self.dialects.body(request.url.path, fault)
        return Response(body, status_code=fault.status, media_type="application/json", headers=headers)

    def _guarded(self, app: App, settings: ServerSettings) -> App:
        """From the inside out."""
        app = BodyLimit(app, self.dialects, settings.max_body)
        app = KeyCheck(app, self.dialects, settings.api_keys)
        app = DrainCheck(app, self.dialects, self.drain)
        if settings.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["x-request-id"],
            )
        if settings.is_local:
            app = OriginCheck(app, self.dialects, settings.cors_origins)
        return AccessLog(app, self.dialects)


def without_validation_errors(document: dict[str, Any]) -> dict[str, Any]:
    """/openapi.json without the status 422, which FastAPI writes beside every body: what is wrong is a 400 here."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document
