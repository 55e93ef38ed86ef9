"""POST /v1/embeddings, in OpenAI's form."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from honed.server.documented import replies
from honed.server.encoders.inputs import listed
from honed.server.encoders.running import Job, run
from honed.server.fields import Body, Document, JsonRoute
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EmbeddingsBody(Body):
    """input: a text or its token ids, or a list of either. dimensions: so many of the first numbers of a vector, which
    has its length as before; a model bears it if it was trained so. prompt_name: of one of the checkpoint's prompts,
    which goes before each text."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int | None, Field(ge=1)] = None
    prompt_name: str | None = None
    user: str | None = None


class Embedding(Document):
    """A vector: numbers, or float32 in little-endian order as base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(Document):
    """Counts of tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsDocument(Document):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


def embeddings_routes(service: ServiceProtocol) -> APIRouter:
    """The route, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["encoders"])

    @router.post("/v1/embeddings", responses=replies(EmbeddingsDocument))
    async def embeddings(body: EmbeddingsBody, request: Request) -> Response:
        """A vector for each text. Token ids are those of this model: langchain-openai sends those of OpenAI's models,
        unless it is told `check_embedding_ctx_length=False`."""
        body.warn_of_unknown()
        items = listed("input", body.input)

        async def work(job: Job) -> bytes:
            rows = await job.vectors("input", items, prompt=body.prompt_name, dimensions=body.dimensions)
            return await asyncio.to_thread(_document, body.model, rows, job.tokens, body.encoding_format == "base64")

        return Response(await unless_gone(request, run(service, body.model, work)), media_type="application/json")

    return router


def _document(model: str, rows: NDArray[np.float32], tokens: int, packed: bool) -> bytes:
    vectors = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows] if packed else rows.tolist()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"object": "list", "data": data, "model": model, "usage": usage})
