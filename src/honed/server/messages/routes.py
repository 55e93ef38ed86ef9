"""/v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import secrets

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from honed.server.caller import caller_of
from honed.server.documented import replies, whole_or_events
from honed.server.fields import JsonRoute
from honed.server.frames import json_reply
from honed.server.messages.fields import CountBody, MessagesBody
from honed.server.messages.output import Output
from honed.server.messages.reading import read, read_count
from honed.server.messages.shapes import MessageObject, MessagesRefusal, TokenCount
from honed.server.messages.stream import MessagesWriter
from honed.server.service import ServiceProtocol
from honed.server.stream import EventStream, unless_gone
from honed.server.writer import Written, collected


def messages_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service. Any anthropic-version and anthropic-beta is taken."""
    router = APIRouter(route_class=JsonRoute, tags=["messages"])

    @router.post("/v1/messages", responses=whole_or_events(MessageObject, MessagesRefusal))
    async def create_message(body: MessagesBody, request: Request) -> Response:
        asked = read(body)
        caller = caller_of(request)
        opening = service.open(asked.call, key=caller.key, request_id=caller.request_id)
        reply = await unless_gone(request, opening)
        identifier = f"msg_{secrets.token_hex(12)}"
        output = Output(identifier, asked.call.model, show_thinking=asked.show_thinking)
        if asked.stream:
            return EventStream(Written(reply, MessagesWriter(output)), reply=reply)
        await unless_gone(request, collected(reply, output), reply=reply)
        return json_reply(output.message)

    @router.post("/v1/messages/count_tokens", responses=replies(TokenCount, MessagesRefusal))
    async def count_tokens(body: CountBody, request: Request) -> Response:
        call = read_count(body)
        return json_reply({"input_tokens": await unless_gone(request, service.count_tokens(call))})

    return router
