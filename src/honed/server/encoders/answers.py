"""POST /v1/question-answering and /v1/fill-mask: parts of a text that answer a question, and what may stand at a mask.

Names of fields and results are those of transformers' pipelines.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from honed.server.documented import replies
from honed.server.encoders.heads import TaskUsage, head, several, usage
from honed.server.encoders.running import Job, head_of, run
from honed.server.fields import Body, Document, JsonRoute
from honed.server.frames import json_reply
from honed.server.request_body import Object
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone
from honed.tasks.question_answering import AnswerOptions, Question

_MOST = 100
"""Answers of a question, and fillings of a mask."""


class QuestionBody(Body):
    """context: the text that may answer the question, however long it is. top_k: answers. max_answer_len: their tokens.
    handle_impossible_answer: whether an empty answer at 0 is one."""

    model: str
    question: str
    context: str
    top_k: Annotated[int, Field(ge=1, le=_MOST)] = 1
    max_answer_len: Annotated[int, Field(ge=1, le=512)] = 15
    handle_impossible_answer: bool = False


class FoundAnswer(Document):
    """start, end: characters (code points) of the context."""

    score: float
    start: int
    end: int
    answer: str


class AnswersDocument(Document):
    """Answers, the best first."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[FoundAnswer]
    usage: TaskUsage


class FillMaskBody(Body):
    """input: texts with the model's mask in them. top_k: fillings of a mask. targets: tokens to choose among."""

    model: str
    input: str | list[str]
    top_k: Annotated[int, Field(ge=1, le=_MOST)] = 5
    targets: list[str] | None = None


class FoundFilling(Document):
    """sequence: the text with the token in it."""

    score: float
    token: int
    token_str: str
    sequence: str


class Filled(Document):
    """Of one text, the fillings of each of its masks, the best first."""

    index: int
    masks: list[list[FoundFilling]]


class FillMaskDocument(Document):
    """Fillings in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Filled]
    usage: TaskUsage


def answer_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["encoders"])

    @router.post("/v1/question-answering", responses=replies(AnswersDocument))
    async def question_answering(body: QuestionBody, request: Request) -> Response:
        """The parts of a text that answer a question."""
        body.warn_of_unknown()
        options = AnswerOptions(most=body.top_k, longest=body.max_answer_len, may_be_none=body.handle_impossible_answer)

        async def work(job: Job) -> Object:
            task = head_of(job.encoder, lambda tasks: tasks.question_answering(options))
            (found,) = await job.results("context", task, [Question(body.question, body.context)])
            return {
                **head("question-answering", body.model),
                "data": [asdict(answer) for answer in found],
                **usage(job),
            }

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    @router.post("/v1/fill-mask", responses=replies(FillMaskDocument))
    async def fill_mask(body: FillMaskBody, request: Request) -> Response:
        """What may stand at the masks of texts."""
        body.warn_of_unknown()
        given = several("input", body.input)

        async def work(job: Job) -> Object:
            task = head_of(job.encoder, lambda tasks: tasks.fill_mask(body.top_k, body.targets))
            found = await job.results("input", task, given)
            data = [
                {"index": index, "masks": [[asdict(filling) for filling in fillings] for fillings in masks]}
                for index, masks in enumerate(found)
            ]
            return {**head("fill-mask", body.model), "data": data, **usage(job)}

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    return router
