"""POST /v1/completions."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response

from honed.server.caller import caller_of
from honed.server.documented import whole_or_events
from honed.server.fields import JsonRoute, compact
from honed.server.openai.completion_reply import CompletionDocument, whole_completion
from honed.server.openai.completion_request import CompletionRequest
from honed.server.openai.completion_stream import CompletionStream
from honed.server.service import ServiceProtocol
from honed.server.stream import EventStream, unless_gone


def completion_routes(service: ServiceProtocol) -> APIRouter:
    """The route, for one service."""
    router = APIRouter(route_class=JsonRoute, tags=["openai"])

    @router.post("/v1/completions", responses=whole_or_events(CompletionDocument))
    async def complete(body: CompletionRequest, request: Request) -> Response:
        """Text that goes on with a prompt, or with each of several."""
        calls = body.read()
        caller = caller_of(request)
        reply = await unless_gone(request, service.open_all(calls, key=caller.key, request_id=caller.request_id))
        identifier = f"cmpl-{secrets.token_hex(12)}"
        logprobs = body.logprobs is not None
        if body.stream:
            stream = CompletionStream(
                reply,
                identifier,
                logprobs=logprobs,
                usage=body.tells_usage,
                usage_always=body.tells_usage_always,
            )
            return EventStream(stream.events(), reply=reply)
        document = await unless_gone(
            request,
            whole_completion(reply, identifier, prompts=len(calls), drawn=calls[0].n, n=body.n or 1, logprobs=logprobs),
            reply=reply,
        )
        return Response(compact(document).encode(), media_type="application/json")

    return router
