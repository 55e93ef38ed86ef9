"""What watches the server: /health, /live, /metrics, and the numbers of the page: /stats, /requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from honed.api.language_model import LanguageModel
from honed.server.caller import caller_of
from honed.server.documented import REFUSALS
from honed.server.drain import Drain
from honed.server.errors import refused
from honed.server.fields import Document
from honed.server.history import Percentiles, RequestRecord
from honed.server.metrics import MEDIA_TYPE, engine_numbers
from honed.server.service import Service


class Health(Document):
    """One word: ok, loading, draining or dead."""

    status: str


class LatencyDocument(Document):
    """Seconds; null where nothing was measured yet."""

    p50: float | None
    p95: float | None
    p99: float | None


class ModelStats(Document):
    """One model, now. history: tokens in each of the last seconds, the latest last."""

    model: str
    state: str
    context: int | None
    tokens_per_second: float
    time_to_first_token: LatencyDocument
    inter_token: LatencyDocument
    running: int
    waiting: int
    kv_cache_use: float
    prefix_cache_queries: int
    prefix_cache_hits: int
    preemptions: int
    history: list[int]


class Stats(Document):
    """All models. uptime: seconds."""

    uptime: float
    models: list[ModelStats]


class RequestDocument(Document):
    """One request of the caller; no text."""

    id: str
    model: str
    route: str
    state: str
    created: float
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    seconds: float
    time_to_first_token: float | None
    tokens_per_second: float | None
    finish_reason: str | None


class RequestList(Document):
    """The newest first."""

    requests: list[RequestDocument]


class Cancelled(Document):
    """The request that was cancelled."""

    id: str
    cancelled: bool


def watching_routes(service: Service, drain: Drain, health: Callable[[], str]) -> APIRouter:
    """The routes. health: the word of `Health`."""
    router = APIRouter(tags=["watching"])
    began = time.monotonic()

    @router.get("/health", response_model=Health, responses={503: {"model": Health}})
    @router.head("/health", include_in_schema=False)
    async def healthy(response: Response) -> Mapping[str, str]:
        """200 where requests are served, 503 while the server loads, drains, or cannot go on."""
        word = "draining" if drain.draining else health()
        response.status_code = 200 if word == "ok" else 503
        return {"status": word}

    @router.get("/live", response_model=Health)
    @router.head("/live", include_in_schema=False)
    async def alive() -> Mapping[str, str]:
        """200 as long as the process runs."""
        return {"status": "ok"}

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)

    @router.get("/stats", response_model=Stats)
    async def stats() -> Mapping[str, Any]:
        """The numbers of the dashboard."""
        loaded = dict(service.registry.loaded())
        models = []
        for status in service.registry.statuses():
            times = service.history.times(status.name)
            numbers = engine_numbers(loaded.get(status.name))
            models.append(
                {
                    "model": status.name,
                    "state": status.state,
                    "context": status.context,
                    "tokens_per_second": times.tokens_per_second(),
                    "time_to_first_token": _latency(Percentiles.of(times.first_tokens)),
                    "inter_token": _latency(Percentiles.of(times.inter_tokens)),
                    "running": int(numbers["running"]),
                    "waiting": int(numbers["waiting"]),
                    "kv_cache_use": numbers["kv_use"],
                    "prefix_cache_queries": int(numbers["prefix_queried"]),
                    "prefix_cache_hits": int(numbers["prefix_found"]),
                    "preemptions": int(numbers["preemptions"]),
                    "history": times.points(),
                }
            )
        return {"uptime": time.monotonic() - began, "models": models}

    @router.get("/requests", response_model=RequestList)
    async def requests(request: Request) -> Mapping[str, Any]:
        """The caller's last requests; nobody sees those of another key."""
        return {"requests": [_document(record) for record in service.history.of(caller_of(request).key)]}

    @router.delete("/requests/{request_id}", response_model=Cancelled, responses=REFUSALS)
    async def cancel(request_id: str, request: Request) -> Mapping[str, Any]:
        """Ends a running request of the caller."""
        record = service.history.find(caller_of(request).key, request_id)
        if record is None:
            raise refused(404, "there is no such request of this key", "request_id", "request_not_found")
        cancelled = record.cancel is not None
        if record.cancel is not None:
            record.cancel()
        return {"id": request_id, "cancelled": cancelled}

    return router


def health_of(service: Service) -> str:
    """dead where the engine of a loaded model has failed for good, loading where no model is loaded and one is being
    loaded, else ok: what is not loaded is loaded when it is asked for."""
    if any(isinstance(model, LanguageModel) and not model.alive for _, model in service.registry.loaded()):
        return "dead"
    states = {status.state for status in service.registry.statuses()}
    return "loading" if "loading" in states and "loaded" not in states else "ok"


def _latency(found: Percentiles) -> Mapping[str, float | None]:
    return {"p50": found.p50, "p95": found.p95, "p99": found.p99}


def _document(record: RequestRecord) -> Mapping[str, Any]:
    return {
        "id": record.request_id,
        "model": record.model,
        "route": record.route,
        "state": record.state,
        "created": record.created,
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "generated_tokens": record.generated_tokens,
        "seconds": record.seconds,
        "time_to_first_token": record.first_token_seconds,
        "tokens_per_second": record.tokens_per_second,
        "finish_reason": record.reason,
    }
