"""POST /api/chat and /api/generate."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from honed.server.caller import caller_of
from honed.server.documented import replies
from honed.server.exchange import ChatCall, TextCall
from honed.server.fields import JsonRoute
from honed.server.frames import json_reply, line
from honed.server.ollama.catalogue import known_name
from honed.server.ollama.fields import ChatBody, GenerateBody, RunBody
from honed.server.ollama.output import NDJSON, Kind, OllamaWriter, Output, now
from honed.server.ollama.reading import read_chat, read_generate
from honed.server.ollama.shapes import ChatDone, GenerateDone, OllamaRefusal
from honed.server.request_body import Object
from honed.server.service import ServiceProtocol
from honed.server.stream import EventStream, unless_gone
from honed.server.writer import Written, collected

_NOTHING: dict[Kind, Object] = {"chat": {"message": {"role": "assistant", "content": ""}}, "generate": {"response": ""}}


def generating_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["ollama"])

    @router.post("/api/chat", responses=replies(ChatDone, OllamaRefusal, stream=NDJSON))
    async def chat(body: ChatBody, request: Request) -> Response:
        """The next message of a chat, as lines unless `stream` is false. Without messages the model is loaded."""
        call = read_chat(body)
        if not call.messages:
            return await _kept(body, "chat")
        return await _answered(request, call, body, "chat")

    @router.post("/api/generate", responses=replies(GenerateDone, OllamaRefusal, stream=NDJSON))
    async def generate(body: GenerateBody, request: Request) -> Response:
        """What follows on a prompt, as lines unless `stream` is false. Without a prompt the model is loaded."""
        call = read_generate(body)
        if not body.prompt and not body.suffix:
            return await _kept(body, "generate")
        return await _answered(request, call, body, "generate")

    async def _answered(request: Request, call: ChatCall | TextCall, body: RunBody, kind: Kind) -> Response:
        caller = caller_of(request)
        output = Output(body.model, kind)
        call = replace(call, model=known_name(service.registry, call.model))
        opening = service.open(call, key=caller.key, request_id=caller.request_id)
        reply = await unless_gone(request, opening)
        output.begin()
        if body.stream is not False:
            return EventStream(Written(reply, OllamaWriter(output)), NDJSON, reply=reply)
        await unless_gone(request, collected(reply, output), reply=reply)
        return json_reply(output.whole)

    async def _kept(body: RunBody, kind: Kind) -> Response:
        """Nothing to answer: the model is loaded, or unloaded where it is to stay for no time."""
        name = known_name(service.registry, body.model)
        leave = body.keep_alive in (0, "0", "0s")
        await (service.registry.unload(name) if leave else service.registry.load(name))
        reason = "unload" if leave else "load"
        said = {"model": body.model, "created_at": now(), **_NOTHING[kind], "done": True, "done_reason": reason}
        if body.stream is not False:
            return Response(line(said), media_type=NDJSON)
        return json_reply(said)

    return router
