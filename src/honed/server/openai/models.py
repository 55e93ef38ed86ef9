"""GET /v1/models and /v1/models/{id}, POST /models/load and /models/unload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter

from honed.server.documented import REFUSALS
from honed.server.fields import Body, Document, JsonRoute
from honed.server.registry import ModelStatus, Registry


class ModelDocument(Document):
    """One model. Beyond OpenAI's fields: aliases, whether it is loaded, what it does (None before it was first loaded),
    and how many tokens fit (max_model_len, as vLLM has it)."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aliases: list[str]
    loaded: bool
    state: Literal["unloaded", "loading", "loaded"]
    kind: Literal["generate", "embed"] | None
    max_model_len: int | None


class ModelList(Document):
    """All models."""

    object: Literal["list"]
    data: list[ModelDocument]


class ModelRequest(Body):
    """Which model."""

    model: str


def model_routes(registry: Registry) -> APIRouter:
    """The routes, for one registry."""
    router = APIRouter(route_class=JsonRoute, tags=["models"])

    @router.get("/v1/models", response_model=ModelList, responses=REFUSALS)
    async def models() -> Mapping[str, Any]:
        """The models of this server, and whether they are loaded."""
        return {"object": "list", "data": [_document(status) for status in registry.statuses()]}

    @router.get("/v1/models/{name:path}", response_model=ModelDocument, responses=REFUSALS)
    async def model(name: str) -> Mapping[str, Any]:
        """One model, by any of its names."""
        return _document(registry.status(name))

    @router.post("/models/load", response_model=ModelDocument, responses=REFUSALS)
    async def load(body: ModelRequest) -> Mapping[str, Any]:
        """Loads a model before it is needed."""
        body.warn_of_unknown()
        return _document(await registry.load(body.model))

    @router.post("/models/unload", response_model=ModelDocument, responses=REFUSALS)
    async def unload(body: ModelRequest) -> Mapping[str, Any]:
        """Lets a model go that nobody uses."""
        body.warn_of_unknown()
        return _document(await registry.unload(body.model))

    return router


def _document(status: ModelStatus) -> Mapping[str, Any]:
    return {
        "id": status.name,
        "object": "model",
        "created": status.created,
        "owned_by": "honed",
        "aliases": list(status.aliases),
        "loaded": status.state == "loaded",
        "state": status.state,
        "kind": status.kind,
        "max_model_len": status.context,
    }
