"""POST /v1/classify and /v1/token-classify: labels of texts, and of the words in them, by a model's own head.

No model that is loaded here has its head yet: an encoder gives vectors, whatever its checkpoint ends with. So both
routes refuse, as they will for models without one.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from honed.server.documented import replies
from honed.server.encoders.inputs import listed
from honed.server.encoders.running import Job, run
from honed.server.errors import refused
from honed.server.fields import Body, JsonRoute
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone


class ClassifyBody(Body):
    """Texts to be labelled."""

    model: str
    input: str | list[str]


def head_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["encoders"])

    @router.post("/v1/classify", responses=replies(None))
    async def classify(body: ClassifyBody, request: Request) -> Response:
        """A label for each text: refused, for no model here has a head that gives one."""
        return await _refuse(body, request, "classifies texts")

    @router.post("/v1/token-classify", responses=replies(None))
    async def token_classify(body: ClassifyBody, request: Request) -> Response:
        """Labels of the words of each text: refused, for no model here has a head that gives them."""
        return await _refuse(body, request, "classifies tokens")

    async def _refuse(body: ClassifyBody, request: Request, what: str) -> Response:
        body.warn_of_unknown()
        listed("input", body.input)

        async def work(_: Job) -> Response:
            raise refused(
                400,
                f"the model {body.model} has no classification head that {what}; use /v1/embeddings",
                "model",
                "no_classification_head",
            )

        return await unless_gone(request, run(service, body.model, work))

    return router
