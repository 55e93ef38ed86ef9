"""POST /v1/chat/completions."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response

from honed.server.caller import caller_of
from honed.server.documented import whole_or_events
from honed.server.fields import JsonRoute, compact
from honed.server.openai.chat_reply import ChatDocument, whole_chat
from honed.server.openai.chat_request import ChatRequest
from honed.server.openai.chat_stream import ChatStream
from honed.server.service import ServiceProtocol
from honed.server.stream import EventStream, unless_gone


def chat_routes(service: ServiceProtocol) -> APIRouter:
    """The route, for one service."""
    router = APIRouter(route_class=JsonRoute, tags=["openai"])

    @router.post("/v1/chat/completions", responses=whole_or_events(ChatDocument))
    async def chat(body: ChatRequest, request: Request) -> Response:
        """The next message of a chat, whole or as a stream of events."""
        call = body.read()
        caller = caller_of(request)
        reply = await unless_gone(request, service.open(call, key=caller.key, request_id=caller.request_id))
        identifier = f"chatcmpl-{secrets.token_hex(12)}"
        logprobs = call.logprobs is not None
        if body.stream:
            stream = ChatStream(
                reply,
                identifier,
                n=call.n,
                logprobs=logprobs,
                usage=body.tells_usage,
                usage_always=body.tells_usage_always,
            )
            return EventStream(stream.events(), reply=reply)
        document = await unless_gone(request, whole_chat(reply, identifier, n=call.n, logprobs=logprobs), reply=reply)
        return Response(compact(document).encode(), media_type="application/json")

    return router
