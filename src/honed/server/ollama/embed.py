"""POST /api/embed, and /api/embeddings as it was before."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from honed.server.documented import replies
from honed.server.encoders.inputs import listed
from honed.server.encoders.running import Job, run
from honed.server.fields import JsonRoute
from honed.server.frames import json_reply
from honed.server.ollama.catalogue import known_name
from honed.server.ollama.fields import EmbedBody, OldEmbedBody
from honed.server.ollama.shapes import EmbedDone, OldEmbedDone, OllamaRefusal
from honed.server.request_body import Object
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone


def embed_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["ollama"])

    @router.post("/api/embed", responses=replies(EmbedDone, OllamaRefusal))
    async def embed(body: EmbedBody, request: Request) -> Response:
        """A vector of length 1 for each text. A text that is too long is cut, unless `truncate` is false."""
        body.warn_of_unknown()
        items = listed("input", body.input)
        started = time.perf_counter_ns()

        async def work(job: Job) -> Object:
            rows = await job.vectors("input", items, normalize=True, dimensions=body.dimensions)
            return {
                "model": body.model,
                "embeddings": rows.tolist(),
                "total_duration": time.perf_counter_ns() - started,
                "load_duration": 0,
                "prompt_eval_count": job.tokens,
            }

        name = known_name(service.registry, body.model)
        cut = body.truncate is not False
        return json_reply(await unless_gone(request, run(service, name, work, cut=cut)))

    @router.post("/api/embeddings", responses=replies(OldEmbedDone, OllamaRefusal))
    async def old_embed(body: OldEmbedBody, request: Request) -> Response:
        """One vector, as the model gives it; none of an empty prompt."""
        body.warn_of_unknown()

        async def work(job: Job) -> Object:
            if not body.prompt:
                return {"embedding": []}
            return {"embedding": (await job.vectors("prompt", [body.prompt]))[0].tolist()}

        name = known_name(service.registry, body.model)
        return json_reply(await unless_gone(request, run(service, name, work, cut=True)))

    return router
