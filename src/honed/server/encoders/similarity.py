"""POST /v1/rerank and /v1/score: how near texts are to each other, by the cosine of their vectors.

rerank has the form of Cohere's and Jina's APIs, score that of vLLM's. Where a checkpoint has prompts for queries and
documents, as sentence-transformers names them, they are used. Not here: cross-encoders, which read both texts together.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from honed.api.embed import TextEncoder
from honed.errors import ParameterError
from honed.server.documented import replies
from honed.server.encoders.inputs import listed
from honed.server.encoders.running import Job, run
from honed.server.fields import Body, Document, JsonRoute
from honed.server.frames import json_reply
from honed.server.request_body import Object, text_at
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUERY = ("query",)
_DOCUMENT = ("document", "passage", "corpus")


class RerankBody(Body):
    """documents: texts, or objects with a text. top_n: so many of the nearest are told; all of them without it."""

    model: str
    query: str
    documents: list[str | Object]
    top_n: Annotated[int | None, Field(ge=1)] = None
    return_documents: bool | None = None


class RankedText(Document):
    """A document as it was given."""

    text: str


class Ranked(Document):
    """index: of the document in the request. relevance_score: from -1 to 1."""

    index: int
    relevance_score: float
    document: RankedText | None = None


class SimilarityUsage(Document):
    """Counts of tokens."""

    prompt_tokens: int
    total_tokens: int


class RerankDocument(Document):
    """Documents, the nearest first."""

    id: str
    model: str
    results: list[Ranked]
    usage: SimilarityUsage


class ScoreBody(Body):
    """Each of text_1 beside that of text_2 at the same place; one text_1 beside all of text_2."""

    model: str
    text_1: str | list[str]
    text_2: str | list[str]


class Score(Document):
    """From -1 to 1."""

    object: Literal["score"]
    index: int
    score: float


class ScoreDocument(Document):
    """Scores in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: SimilarityUsage


def similarity_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["encoders"])

    @router.post("/v1/rerank", responses=replies(RerankDocument))
    async def rerank(body: RerankBody, request: Request) -> Response:
        """Which documents are nearest to a query."""
        body.warn_of_unknown()
        texts = _texts("documents", [_document(index, given) for index, given in enumerate(body.documents)])
        _texts("query", body.query)

        async def work(job: Job) -> Object:
            query = (await _vectors(job, "query", [body.query], _QUERY))[0]
            scores = ((await _vectors(job, "documents", texts, _DOCUMENT)) @ query).tolist()
            order = sorted(range(len(scores)), key=lambda index: -scores[index])[: body.top_n]
            shown = body.return_documents is not False
            return {
                "id": f"rerank-{secrets.token_hex(12)}",
                "model": body.model,
                "results": [
                    {
                        "index": index,
                        "relevance_score": scores[index],
                        **({"document": {"text": texts[index]}} if shown else {}),
                    }
                    for index in order
                ],
                "usage": _usage(job),
            }

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    @router.post("/v1/score", responses=replies(ScoreDocument))
    async def score(body: ScoreBody, request: Request) -> Response:
        """How near texts are to others."""
        body.warn_of_unknown()
        first, second = _texts("text_1", body.text_1), _texts("text_2", body.text_2)
        if len(first) not in (1, len(second)):
            raise ParameterError("text_1", f"{len(first)} texts", f"must be one text, or {len(second)} as text_2 has")

        async def work(job: Job) -> Object:
            one = await _vectors(job, "text_1", first, _QUERY)
            two = await _vectors(job, "text_2", second, _DOCUMENT)
            data = [
                {"object": "score", "index": index, "score": value}
                for index, value in enumerate((one * two).sum(axis=1).tolist())
            ]
            return {
                "id": f"score-{secrets.token_hex(12)}",
                "object": "list",
                "created": int(time.time()),
                "model": body.model,
                "data": data,
                "usage": _usage(job),
            }

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    return router


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    return [text for text in listed(name, given) if isinstance(text, str)]


def _document(index: int, given: str | Object) -> str:
    return given if isinstance(given, str) else text_at(f"documents[{index}].text", given.get("text"))


async def _vectors(job: Job, name: str, texts: Sequence[str], prompts: Sequence[str]) -> NDArray[np.float32]:
    return await job.vectors(name, texts, prompt=_prompt(job.encoder, prompts), normalize=True)


def _prompt(encoder: TextEncoder, names: Sequence[str]) -> str | None:
    """The first of the names that the checkpoint has; None for its own default."""
    return next((name for name in names if name in encoder.prompts), None)


def _usage(job: Job) -> Object:
    return {"prompt_tokens": job.tokens, "total_tokens": job.tokens}
