"""POST /v1/rerank, /v1/score and /v1/similarity: how near texts are to each other.

A cross-encoder, whose head has one label, reads both texts together; of other encoders it is the cosine of the vectors,
and where a checkpoint has prompts for queries and documents, as sentence-transformers names them, they are used. rerank
has the form of Cohere's and Jina's APIs, score that of vLLM's, similarity the fields of the hub's task of that name.
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

from honed.errors import ParameterError
from honed.server.documented import replies
from honed.server.encoders.inputs import listed
from honed.server.encoders.running import Job, head_of, run
from honed.server.fields import Body, Document, JsonRoute
from honed.server.frames import json_reply
from honed.server.request_body import Object, text_at
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone
from honed.tasks.similarity import DOCUMENT, QUERY, cosines, prompt_among

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    """index: of the document in the request. relevance_score: from -1 to 1, of a cross-encoder from 0."""

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
    """From -1 to 1, of a cross-encoder from 0."""

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


class SimilarityBody(Body):
    """Each of sentences is compared with source_sentence."""

    model: str
    source_sentence: str
    sentences: list[str]


class Similarity(Document):
    """From -1 to 1."""

    object: Literal["similarity"]
    index: int
    score: float


class SimilarityDocument(Document):
    """Scores in the order of the sentences."""

    object: Literal["list"]
    model: str
    data: list[Similarity]
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
            scores = await _relevance(job, "documents", body.query, texts)
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
            if job.encoder.tasks.has("classes"):
                task = head_of(job.encoder, lambda tasks: tasks.ranking())
                pairs = list(zip(first * (len(second) // len(first)), second, strict=True))
                scores = await job.results("text_2", task, pairs)
            else:
                one = await _vectors(job, "text_1", first, QUERY)
                two = await _vectors(job, "text_2", second, DOCUMENT)
                scores = [cosines(one[index % len(one)], two[index : index + 1])[0] for index in range(len(two))]
            data = [{"object": "score", "index": index, "score": value} for index, value in enumerate(scores)]
            return {
                "id": f"score-{secrets.token_hex(12)}",
                "object": "list",
                "created": int(time.time()),
                "model": body.model,
                "data": data,
                "usage": _usage(job),
            }

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    @router.post("/v1/similarity", responses=replies(SimilarityDocument))
    async def similarity(body: SimilarityBody, request: Request) -> Response:
        """How near texts are to one, by the cosine of their vectors."""
        body.warn_of_unknown()
        source, others = _texts("source_sentence", body.source_sentence), _texts("sentences", body.sentences)

        async def work(job: Job) -> Object:
            one = (await job.vectors("source_sentence", source, normalize=True))[0]
            rows = await job.vectors("sentences", others, normalize=True)
            data = [
                {"object": "similarity", "index": index, "score": value}
                for index, value in enumerate(cosines(one, rows))
            ]
            return {"object": "list", "model": body.model, "data": data, "usage": _usage(job)}

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    return router


async def _relevance(job: Job, name: str, query: str, documents: Sequence[str]) -> list[float]:
    """Of each document to a query."""
    if job.encoder.tasks.has("classes"):
        task = head_of(job.encoder, lambda tasks: tasks.ranking())
        return await job.results(name, task, [(query, document) for document in documents])
    row = (await _vectors(job, "query", [query], QUERY))[0]
    return cosines(row, await _vectors(job, name, documents, DOCUMENT))


def _texts(name: str, given: str | Sequence[str]) -> list[str]:
    return [text for text in listed(name, given) if isinstance(text, str)]


def _document(index: int, given: str | Object) -> str:
    return given if isinstance(given, str) else text_at(f"documents[{index}].text", given.get("text"))


async def _vectors(job: Job, name: str, texts: Sequence[str], prompts: Sequence[str]) -> NDArray[np.float32]:
    return await job.vectors(name, texts, prompt=prompt_among(job.encoder.prompts, prompts), normalize=True)


def _usage(job: Job) -> Object:
    return {"prompt_tokens": job.tokens, "total_tokens": job.tokens}
