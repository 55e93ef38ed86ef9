"""/v1/responses and /v1/responses/input_tokens."""

from __future__ import annotations

import secrets

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from honed.server.caller import caller_of
from honed.server.documented import replies, whole_or_events
from honed.server.fields import JsonRoute
from honed.server.frames import json_reply
from honed.server.responses.fields import CountBody, ResponsesBody
from honed.server.responses.items import items_of
from honed.server.responses.kept import KeptResponses
from honed.server.responses.output import Output
from honed.server.responses.reading import read, read_count
from honed.server.responses.shapes import InputTokens, ResponseObject
from honed.server.responses.stream import ResponsesWriter
from honed.server.service import ServiceProtocol
from honed.server.stream import EventStream, unless_gone
from honed.server.writer import Written, collected


def responses_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["responses"])
    kept = KeptResponses()

    @router.post("/v1/responses", responses=whole_or_events(ResponseObject))
    async def create_response(body: ResponsesBody, request: Request) -> Response:
        """What the model says next, whole or as a stream of events."""
        caller = caller_of(request)
        earlier = kept.items(caller.key, body.previous_response_id)
        asked = read(body, earlier)
        opening = service.open(asked.call, key=caller.key, request_id=caller.request_id)
        reply = await unless_gone(request, opening)
        identifier = f"resp_{secrets.token_hex(24)}"
        output = Output(identifier, asked.call.model, reply.created, asked.repeated, seal=asked.seal)

        def keep() -> None:
            if body.store is not False:
                items = [*earlier, *items_of(body.input), *output.response["output"]]
                kept.keep(caller.key, identifier, items)

        if asked.stream:
            return EventStream(Written(reply, ResponsesWriter(output, keep)), reply=reply)
        await unless_gone(request, collected(reply, output), reply=reply)
        keep()
        return json_reply(output.response)

    @router.post("/v1/responses/input_tokens", responses=replies(InputTokens))
    async def count_input_tokens(body: CountBody, request: Request) -> Response:
        """How many tokens the prompt of such a response has."""
        call = read_count(body, kept.items(caller_of(request).key, body.previous_response_id))
        count = await unless_gone(request, service.count_tokens(call))
        return json_reply({"object": "response.input_tokens", "input_tokens": count})

    return router
