"""All routes of encoders but Ollama's."""

from __future__ import annotations

from fastapi import APIRouter

from honed.server.encoders.answers import answer_routes
from honed.server.encoders.embeddings import embeddings_routes
from honed.server.encoders.heads import head_routes
from honed.server.encoders.similarity import similarity_routes
from honed.server.service import ServiceProtocol


def encoder_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter()
    for routes in (embeddings_routes, similarity_routes, head_routes, answer_routes):
        router.include_router(routes(service))
    return router
