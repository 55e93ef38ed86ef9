"""The ways of asking beside OpenAI's chat and completions, in one list: their routes, and how they write errors."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from honed.server.encoders.routes import encoder_routes
from honed.server.errors import Renderer
from honed.server.messages.routes import messages_routes
from honed.server.messages.stream import messages_error
from honed.server.ollama.output import ollama_error
from honed.server.ollama.routes import ollama_routes
from honed.server.responses.routes import responses_routes
from honed.server.service import ServiceProtocol

RENDERERS: Mapping[str, Renderer] = {"/v1/messages": messages_error, "/api/": ollama_error}
"""By the beginning of a path; OpenAI's way elsewhere."""


def dialect_routes(service: ServiceProtocol) -> list[APIRouter]:
    """All of them, over a service."""
    return [make(service) for make in (responses_routes, messages_routes, encoder_routes, ollama_routes)]
