"""All routes of Ollama's API that are served here."""

from __future__ import annotations

from fastapi import APIRouter

from honed.server.ollama.catalogue import catalogue_routes
from honed.server.ollama.embed import embed_routes
from honed.server.ollama.generating import generating_routes
from honed.server.service import ServiceProtocol


def ollama_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter()
    for routes in (generating_routes, embed_routes, catalogue_routes):
        router.include_router(routes(service))
    return router
