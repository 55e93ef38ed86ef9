"""The routes of encoders: vectors by openai-python, ranks and scores by their own meaning."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from honed.api.embed import TextEncoder
from honed.checkpoints.huggingface.sentence_files import SentenceSettings
from honed.server.encoders.embeddings import EmbeddingsDocument
from honed.server.encoders.routes import encoder_routes
from honed.server.encoders.similarity import RerankDocument, ScoreDocument, SimilarityDocument
from honed.server.registry import ModelSpec, Registry
from honed.tasks.similarity import cosines
from honed.text.encoder_input import EncoderInput
from known_rows import KnownRows, tokenizer
from scripted_replies import ScriptedService, app_of

T = TypeVar("T")


def encoder(_: str = "e") -> TextEncoder:
    settings = SentenceSettings(prompts={"query": "query: "})
    return TextEncoder("tiny", KnownRows(), tokenizer(), settings)


def served(use: Callable[[Any], Awaitable[T]]) -> T:
    """What `use` makes of an app with one encoder."""
    service = ScriptedService([])

    async def main() -> T:
        service.registry = Registry([ModelSpec("e", "e")], encoder, len)
        try:
            return await use(app_of(encoder_routes(service)))
        finally:
            await service.registry.close()

    return asyncio.run(main())


def embedded(**fields: Any) -> Any:
    async def use(app: Any) -> Any:
        async with AsyncOpenAI(
            api_key="key",
            base_url="http://server/v1",
            http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)),
            max_retries=0,
            # Its own types refuse the base64 that it asks for.
            _strict_response_validation=fields.get("encoding_format") == "float",
        ) as client:
            return await client.embeddings.create(**{"model": "e", **fields})

    return served(use)


def post(path: str, body: Any) -> tuple[int, Any]:
    async def use(app: Any) -> tuple[int, Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            reply = await client.post(path, json=body)
            return reply.status_code, reply.json()

    return served(use)


@pytest.mark.parametrize("form", [None, "float", "base64"])  # None: base64, which the client makes numbers of
def test_vectors_in_their_order(form: Any) -> None:
    reply = embedded(input=["a b", "h"], **({} if form is None else {"encoding_format": form}))
    vectors = [one.embedding for one in reply.data]
    if form == "base64":
        vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
    np.testing.assert_array_equal(np.array(vectors, np.float32), encoder().embed(["a b", "h"]))
    assert [one.index for one in reply.data] == [0, 1]
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens, reply.model) == (7, 7, "e")


def test_token_ids() -> None:
    one = embedded(input=[2, 4, 3]).data[0].embedding
    several = embedded(input=[[2, 4, 3], [2, 5, 6, 3]]).data[0].embedding
    expected = encoder().embed([EncoderInput.of_tokens([2, 4, 3])])[0]
    np.testing.assert_array_equal(np.array(one, np.float32), expected)
    assert one == several


def test_a_prompt_of_the_checkpoint() -> None:
    status, reply = post("/v1/embeddings", {"model": "e", "input": "a", "prompt_name": "query"})
    assert status == 200
    EmbeddingsDocument.model_validate(reply)
    np.testing.assert_array_equal(
        np.array(reply["data"][0]["embedding"], np.float32), encoder().embed(["a"], prompt="query")[0]
    )
    assert reply["usage"]["total_tokens"] == 4


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [["a"]]}, "input"),
        ({"input": [2, 10**12]}, "input"),
        ({"input": " ".join("abcdefgh" * 2)}, "input"),
        ({"input": "a", "dimensions": 4}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "prompt_name": "passage"}, "prompt"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], parameter: str) -> None:
    status, reply = post("/v1/embeddings", {"model": "e", **fields})
    assert status == 400
    assert reply["error"]["param"].startswith(parameter)


def test_an_unknown_model() -> None:
    with pytest.raises(openai.NotFoundError):
        embedded(model="other", input="a")
    assert embedded(input="a", dimensions=3).data[0].index == 0


def test_fewer_dimensions() -> None:
    reply = embedded(input=["a b", "h"], dimensions=2, encoding_format="float")
    found = np.array([one.embedding for one in reply.data], np.float32)
    np.testing.assert_array_equal(found, encoder().embed(["a b", "h"])[:, :2])


def test_ranks() -> None:
    documents = ["h h", "a b", {"text": "c"}]
    status, reply = post("/v1/rerank", {"model": "e", "query": "a", "documents": documents})
    assert status == 200
    RerankDocument.model_validate(reply)
    model = encoder()
    query = model.embed(["a"], normalize=True, prompt="query")[0]
    scores = np.array(cosines(query, model.embed(["h h", "a b", "c"], normalize=True)))
    order = np.argsort(-scores).tolist()
    assert [one["index"] for one in reply["results"]] == order
    assert [one["relevance_score"] for one in reply["results"]] == [float(scores[index]) for index in order]
    assert reply["results"][0]["document"] == {"text": ["h h", "a b", "c"][order[0]]}
    assert reply["usage"]["total_tokens"] == 4 + 4 + 4 + 3
    _, some = post(
        "/v1/rerank", {"model": "e", "query": "a", "documents": documents, "top_n": 2, "return_documents": False}
    )
    assert [one["index"] for one in some["results"]] == order[:2]
    assert all("document" not in one for one in some["results"])


def test_scores() -> None:
    model = encoder()
    second = model.embed(["a", "b c"], normalize=True)
    status, one = post("/v1/score", {"model": "e", "text_1": "h", "text_2": ["a", "b c"]})
    assert status == 200
    ScoreDocument.model_validate(one)
    first = model.embed(["h"], normalize=True, prompt="query")
    assert [found["score"] for found in one["data"]] == cosines(first[0], second)
    _, pairs = post("/v1/score", {"model": "e", "text_1": ["h", "h"], "text_2": ["a", "b c"]})
    assert pairs["data"] == one["data"]


def test_similarity() -> None:
    model = encoder()
    status, reply = post("/v1/similarity", {"model": "e", "source_sentence": "h", "sentences": ["a", "b c"]})
    assert status == 200
    SimilarityDocument.model_validate(reply)
    rows = model.embed(["h", "a", "b c"], normalize=True)
    assert [found["score"] for found in reply["data"]] == cosines(rows[0], rows[1:])
    assert reply["usage"]["total_tokens"] == 3 + 3 + 4


@pytest.mark.parametrize(
    ("path", "fields", "parameter"),
    [
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["a", ""]}, "documents[1]"),
        ("/v1/rerank", {"query": "", "documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": "a", "documents": [{"body": "a"}]}, "documents[0].text"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
        ("/v1/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "text_1"),
        ("/v1/score", {"text_1": "a", "text_2": []}, "text_2"),
        ("/v1/classify", {"input": "a"}, "model"),
        ("/v1/token-classify", {"input": ["a"]}, "model"),
        ("/v1/question-answering", {"question": "a", "context": "b"}, "model"),
        ("/v1/fill-mask", {"input": "a"}, "model"),
        ("/v1/classify", {"input": ""}, "input"),
        ("/v1/classify", {"input": []}, "input"),
        ("/v1/similarity", {"source_sentence": "", "sentences": ["a"]}, "source_sentence"),
    ],
)
def test_refusals_name_the_field(path: str, fields: dict[str, Any], parameter: str) -> None:
    status, reply = post(path, {"model": "e", **fields})
    assert status == 400
    assert reply["error"]["param"] == parameter
