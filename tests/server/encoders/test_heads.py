"""Routes over heads of tiny random models: what they give is what pipelines give, in the shape that is documented."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import honed
from headed_models import headed
from honed.api.embed import TextEncoder
from honed.server.encoders.answers import AnswersDocument, FillMaskDocument
from honed.server.encoders.heads import ClassifyDocument, TokenClassifyDocument
from honed.server.encoders.routes import encoder_routes
from honed.server.encoders.similarity import RerankDocument, ScoreDocument
from honed.server.registry import ModelSpec, Registry
from scripted_replies import ScriptedService, app_of

TEXTS = ["Ann lives in Paris", "北京是中国的首都"]


def post(path: Path, route: str, **body: Any) -> tuple[int, Any]:
    service = ScriptedService([])

    def load(_: str) -> TextEncoder:
        found = honed.load(path)
        assert isinstance(found, TextEncoder)
        return found

    async def main() -> tuple[int, Any]:
        service.registry = Registry([ModelSpec("e", "e")], load, len)
        try:
            transport = httpx.ASGITransport(app=app_of(encoder_routes(service)))
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                reply = await client.post(route, json={"model": "e", **body})
                return reply.status_code, reply.json()
        finally:
            await service.registry.close()

    return asyncio.run(main())


def test_labels_of_texts() -> None:
    path = headed("bert", "ForSequenceClassification", num_labels=3)
    given: list[Any] = [*TEXTS, {"text": "Ann", "text_pair": "Paris"}]
    status, reply = post(path, "/v1/classify", input=given)
    assert status == 200
    ClassifyDocument.model_validate(reply)
    assert reply["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    with honed.pipeline("text-classification", path) as pipe:
        expected = pipe(given, top_k=None)
    for one, records in zip(reply["data"], expected, strict=True):
        assert (one["label"], one["score"], one["num_classes"]) == (records[0]["label"], records[0]["score"], 3)
        assert dict(zip(reply["labels"], one["probs"], strict=True)) == {r["label"]: r["score"] for r in records}
    assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] > 10
    status, reply = post(path, "/v1/classify", input="a " * 100)
    assert status == 400 and "102 tokens" in reply["error"]["message"] and reply["error"]["param"] == "input"
    assert post(path, "/v1/classify", input="a " * 100, truncate=True)[0] == 200
    status, reply = post(path, "/v1/classify", input="a", labels=["x"])
    assert status == 400 and "entailment" in reply["error"]["message"]


def test_labels_of_the_caller() -> None:
    path = headed("bert", "ForSequenceClassification", labels=("contradiction", "neutral", "entailment"))
    status, reply = post(path, "/v1/classify", input=TEXTS, labels=["dog", "fox"], hypothesis_template="a {}")
    assert status == 200
    ClassifyDocument.model_validate(reply)
    with honed.pipeline("zero-shot-classification", path) as pipe:
        expected = pipe(TEXTS, ["dog", "fox"], hypothesis_template="a {}")
    for one, record in zip(reply["data"], expected, strict=True):
        assert one["label"] == record["labels"][0] and one["score"] == record["scores"][0]
        assert sorted(one["probs"]) == sorted(record["scores"])
    assert reply["labels"] == ["dog", "fox"]
    more: dict[str, Any]
    for more in ({"hypothesis_template": "no"}, {"labels": []}, {"input": {"text": "a", "text_pair": "b"}}):
        assert post(path, "/v1/classify", **{"input": "a", "labels": ["x"], **more})[0] == 400


def test_words_of_texts() -> None:
    path = headed("bert", "ForTokenClassification")
    long = "Ann lives in Berlin. " * 40
    for strategy in ("none", "simple", "first"):
        status, reply = post(path, "/v1/token-classify", input=[*TEXTS, long], aggregation_strategy=strategy)
        assert status == 200
        TokenClassifyDocument.model_validate(reply)
        with honed.pipeline("ner", path, aggregation_strategy=strategy) as pipe:
            assert [one["entities"] for one in reply["data"]] == pipe([*TEXTS, long])
    assert post(path, "/v1/token-classify", input="a", aggregation_strategy="mean")[0] == 400
    status, reply = post(path, "/v1/token-classify", input="a", stride=900)
    assert status == 400 and reply["error"]["param"] == "stride"


def test_answers_and_masks() -> None:
    path = headed("bert", "ForQuestionAnswering")
    asked = {"question": "Ann?", "context": "Ann lives in Paris. " * 20}
    status, reply = post(path, "/v1/question-answering", **asked, top_k=3)
    assert status == 200
    AnswersDocument.model_validate(reply)
    with honed.pipeline("question-answering", path) as pipe:
        assert reply["data"] == pipe(asked, top_k=3)
    status, reply = post(path, "/v1/question-answering", question="", context="a")
    assert status == 400 and reply["error"]["param"] == "question"
    path = headed("bert", "ForMaskedLM")
    masked = ["Ann lives in [MASK]", "[MASK] [MASK]"]
    status, reply = post(path, "/v1/fill-mask", input=masked, top_k=2)
    assert status == 200
    FillMaskDocument.model_validate(reply)
    with honed.pipeline("fill-mask", path, top_k=2) as pipe:
        first, second = pipe(masked)
    assert [one["masks"] for one in reply["data"]] == [[first], second]
    assert post(path, "/v1/fill-mask", input="no mask")[0] == 400


def test_a_cross_encoder_ranks_and_scores() -> None:
    path = headed("bert", "ForSequenceClassification", num_labels=1)
    status, ranks = post(path, "/v1/rerank", query="Ann", documents=TEXTS)
    assert status == 200
    RerankDocument.model_validate(ranks)
    with honed.pipeline("text-ranking", path) as pipe:
        expected = pipe("Ann", TEXTS)
    assert [(one["index"], one["relevance_score"]) for one in ranks["results"]] == [
        (one["corpus_id"], one["score"]) for one in expected
    ]
    status, scores = post(path, "/v1/score", text_1="Ann", text_2=TEXTS)
    assert status == 200
    ScoreDocument.model_validate(scores)
    assert {one["index"]: one["score"] for one in scores["data"]} == {
        one["corpus_id"]: one["score"] for one in expected
    }


@pytest.mark.parametrize("route", ["/v1/rerank", "/v1/score"])
def test_a_classifier_does_not_rank(route: str) -> None:
    path = headed("bert", "ForSequenceClassification", num_labels=3)
    bodies: dict[str, Any] = {
        "/v1/rerank": {"query": "a", "documents": ["b"]},
        "/v1/score": {"text_1": "a", "text_2": "b"},
    }
    status, reply = post(path, route, **bodies[route])
    assert status == 400 and "3 labels" in reply["error"]["message"]
