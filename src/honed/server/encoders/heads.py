"""POST /v1/classify and /v1/token-classify: labels of texts, and of the words in them, by a model's own head.

classify has the form of vLLM's route, with the names of all labels beside their probabilities; with `labels` a model of
natural-language inference weighs those of the caller. Not here: answers and masks (`answers.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from honed.server.documented import replies
from honed.server.encoders.inputs import MOST_INPUTS
from honed.server.encoders.running import Job, head_of, run
from honed.server.errors import refused
from honed.server.fields import Body, Document, JsonRoute
from honed.server.frames import json_reply
from honed.server.request_body import Object
from honed.server.service import ServiceProtocol
from honed.server.stream import unless_gone
from honed.tasks.task import order
from honed.tasks.zero_shot import TEMPLATE, Hypotheses

MOST_LABELS = 256
"""Of a request, each of which is a pair with every text."""


class TextPair(BaseModel):
    """Two texts that are read together."""

    text: str
    text_pair: str | None = None


Input = str | TextPair | list[str | TextPair]


class ClassifyBody(Body):
    """input: a text, a pair of texts, or several. labels: those to choose among instead of the head's own, where the
    model judges whether one text follows from another; hypothesis_template: the other text, {} for the label;
    multi_label: each is weighed for itself. truncate: whether texts that are too long are cut, instead of refused."""

    model: str
    input: Input
    labels: Annotated[list[str], Field(min_length=1, max_length=MOST_LABELS)] | None = None
    hypothesis_template: str = TEMPLATE
    multi_label: bool = False
    truncate: bool = False


class Classified(Document):
    """label: the one with the highest score. probs: of all labels, in the order of `labels`."""

    index: int
    label: str
    score: float
    probs: list[float]
    num_classes: int


class TaskUsage(Document):
    """Counts of tokens; of a text that is read several times, all of them."""

    prompt_tokens: int
    total_tokens: int


class ClassifyDocument(Document):
    """Labels in the order of the texts. labels: the names of all of them."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    labels: list[str]
    data: list[Classified]
    usage: TaskUsage


class TokenClassifyBody(Body):
    """Texts whose words are labelled, however long they are. aggregation_strategy: none tells tokens; simple, first,
    average and max tell what they make up together. ignore_labels: those that are not told, O without it. stride:
    tokens that the windows of a long text have in common."""

    model: str
    input: str | list[str]
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: list[str] | None = None
    stride: Annotated[int | None, Field(ge=0)] = None


class FoundEntity(Document):
    """start, end: characters (code points) of the text. entity_group: the label of what stands together; entity and
    index: of a token."""

    entity_group: str | None = None
    entity: str | None = None
    index: int | None = None
    score: float
    word: str
    start: int
    end: int


class TokenClassified(Document):
    """What was found in one text, in its order."""

    index: int
    entities: list[FoundEntity]


class TokenClassifyDocument(Document):
    """What was found, in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[TokenClassified]
    usage: TaskUsage


def head_routes(service: ServiceProtocol) -> APIRouter:
    """The routes, over a service."""
    router = APIRouter(route_class=JsonRoute, tags=["encoders"])

    @router.post("/v1/classify", responses=replies(ClassifyDocument))
    async def classify(body: ClassifyBody, request: Request) -> Response:
        """The label of each text, by the model's head for classes."""
        body.warn_of_unknown()
        given = [_text_or_pair(one) for one in several("input", body.input)]

        async def work(job: Job) -> Object:
            if body.labels is not None:
                names, scores = await _weighed(job, body, given, body.labels)
            else:
                task = head_of(job.encoder, lambda tasks: tasks.text_classification())
                labels = job.encoder.labels
                assert labels is not None
                names, scores = labels.names, await job.results("input", task, given)
            return {
                **head("classify", body.model),
                "labels": list(names),
                "data": _classified(names, scores),
                **usage(job),
            }

        return json_reply(await unless_gone(request, run(service, body.model, work, cut=body.truncate)))

    @router.post("/v1/token-classify", responses=replies(TokenClassifyDocument))
    async def token_classify(body: TokenClassifyBody, request: Request) -> Response:
        """What the words of each text are, by the model's head for tokens: names of persons, for instance."""
        body.warn_of_unknown()
        given = several("input", body.input)

        async def work(job: Job) -> Object:
            task = head_of(
                job.encoder,
                lambda tasks: tasks.token_classification(
                    body.aggregation_strategy, ignored=body.ignore_labels, stride=body.stride
                ),
            )
            found = await job.results("input", task, given)
            data = [
                {"index": index, "entities": [asdict(entity) for entity in entities]}
                for index, entities in enumerate(found)
            ]
            return {**head("token-classify", body.model), "data": data, **usage(job)}

        return json_reply(await unless_gone(request, run(service, body.model, work)))

    return router


async def _weighed(job: Job, body: ClassifyBody, given: Sequence[Any], labels: Sequence[str]) -> tuple[Any, Any]:
    """Labels of the caller, and their scores for each text."""
    task = head_of(job.encoder, lambda tasks: tasks.zero_shot(body.hypothesis_template, multi_label=body.multi_label))
    for index, one in enumerate(given):
        if not isinstance(one, str):
            raise refused(400, f"input[{index}] must be a text where labels are given", f"input[{index}]", "invalid")
    found = await job.results("input", task, [Hypotheses(one, tuple(labels)) for one in given])
    return labels, [one.scores for one in found]


def _classified(names: Sequence[str], scores: Sequence[Any]) -> list[Object]:
    data = []
    for index, own in enumerate(scores):
        best = order(own)[0]
        probs = own.tolist()
        data.append(
            {
                "index": index,
                "label": names[best],
                "score": probs[best],
                "probs": probs,
                "num_classes": len(names),
            }
        )
    return data


def _text_or_pair(given: str | TextPair) -> str | tuple[str, str]:
    if isinstance(given, str):
        return given
    return given.text if given.text_pair is None else (given.text, given.text_pair)


def several(name: str, given: Any) -> list[Any]:
    """One thing or several as a list. RequestError for none, for too many, and for a text that is empty."""
    found = given if isinstance(given, list) else [given]
    if not 1 <= len(found) <= MOST_INPUTS:
        raise refused(400, f"{name} has {len(found)} texts, and must have 1 to {MOST_INPUTS}", name, "invalid")
    for index, one in enumerate(found):
        if not one:
            place = name if len(found) == 1 else f"{name}[{index}]"
            raise refused(400, f"{place} must not be empty", place, "invalid")
    return found


def head(kind: str, model: str) -> Object:
    """What stands before the data of a reply."""
    return {"id": f"{kind}-{secrets.token_hex(12)}", "object": "list", "created": int(time.time()), "model": model}


def usage(job: Job) -> Object:
    """What stands behind them."""
    return {"usage": {"prompt_tokens": job.tokens, "total_tokens": job.tokens}}
