"""/api/tags, /api/ps, /api/show and /api/version: which models there are, and what they can do."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from honed.api.language_model import LanguageModel
from honed.errors import ParameterError
from honed.server.documented import replies
from honed.server.fields import JsonRoute
from honed.server.frames import json_reply
from honed.server.ollama.fields import ShowBody
from honed.server.ollama.shapes import OllamaRefusal, Running, Shown, Tags, Version
from honed.server.registry import Model, ModelStatus, Registry
from honed.server.request_body import Object
from honed.server.service import ServiceProtocol
from honed.version import __version__

API_VERSION = "0.12.11"
"""Of Ollama: its API as it is spoken here. Clients refuse to talk to servers of an older one."""
_FAMILY = "transformer"
_NEVER = "9999-12-31T23:59:59Z"
_TAG = ":latest"


def catalogue_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["ollama"])

    @router.get("/api/tags", responses=replies(Tags, OllamaRefusal))
    async def tags() -> Response:
        """All models, loaded or not."""
        found = [{**_named(status), "modified_at": _when(status)} for status in service.registry.statuses()]
        return json_reply({"models": found})

    @router.get("/api/ps", responses=replies(Running, OllamaRefusal))
    async def running() -> Response:
        """The models that are loaded."""
        loaded = [status for status in service.registry.statuses() if status.state == "loaded"]
        return json_reply({"models": [_running(status) for status in loaded]})

    @router.post("/api/show", responses=replies(Shown, OllamaRefusal))
    async def show(body: ShowBody) -> Response:
        """One model. What it can do is known once it was loaded."""
        body.warn_of_unknown()
        name = body.model or body.name
        if not name:
            raise ParameterError("model", name, "must be the name of a model")
        status = service.registry.status(known_name(service.registry, name))
        return json_reply(_shown(status, dict(service.registry.loaded()).get(status.name)))

    @router.get("/api/version", responses=replies(Version, OllamaRefusal))
    async def version() -> Response:
        """Of the API, and of this server."""
        return json_reply({"version": API_VERSION, "honed": __version__})

    return router


def known_name(registry: Registry, name: str) -> str:
    """The name that a model has here: clients add a tag of their own to names that have none."""
    if name.endswith(_TAG):
        names = {known for status in registry.statuses() for known in (status.name, *status.aliases)}
        short = name.removesuffix(_TAG)
        if name not in names and short in names:
            return short
    return name


def _named(status: ModelStatus) -> Object:
    return {
        "name": status.name,
        "model": status.name,
        "size": status.bytes or 0,
        "digest": hashlib.sha256(f"{status.name}\0{status.created}".encode()).hexdigest(),
        "details": _details(),
    }


def _running(status: ModelStatus) -> Object:
    return {**_named(status), "size_vram": 0, "expires_at": _NEVER, "context_length": status.context or 0}


def _shown(status: ModelStatus, model: Model | None) -> Object:
    info: Object = {"general.architecture": _FAMILY, "general.basename": status.name}
    if status.context is not None:
        info[f"{_FAMILY}.context_length"] = status.context
    template = model.tokenizer.chat_template if isinstance(model, LanguageModel) else None
    return {
        "modelfile": f"FROM {status.name}\n",
        "parameters": "",
        "template": template or "",
        "details": _details(),
        "model_info": info,
        "capabilities": _capabilities(status, template or ""),
        "modified_at": _when(status),
    }


def _capabilities(status: ModelStatus, template: str) -> list[str]:
    if status.kind == "embed":
        return ["embedding"]
    # Tools are told to a model whose template knows none.
    chats = ["tools"] if template else []
    thinks = ["thinking"] if "enable_thinking" in template or "<think>" in template else []
    return ["completion", *chats, *thinks]


def _details() -> Object:
    return {
        "parent_model": "",
        "format": "honed",
        "family": _FAMILY,
        "families": [_FAMILY],
        "parameter_size": "",
        "quantization_level": "",
    }


def _when(status: ModelStatus) -> str:
    return datetime.fromtimestamp(status.created, UTC).isoformat().replace("+00:00", "Z")
