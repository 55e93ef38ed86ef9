"""Against the pipeline of transformers on the same random models, for tokenizers of three kinds."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import honed
from headed_models import CORPUS, close, headed, theirs
from honed.errors import ParameterError

HEAD = "ForTokenClassification"
STRATEGIES = ["none", "simple", "first", "average", "max"]
MANY = [*CORPUS, "Ann lives in Paris, doesn't she?", "Cafe\u0301 \U0001f600 ok", "xyz \u2603 unbelievable", "", "a"]
WORDS = "The quick brown fox jumps over the lazy dog near Berlin and works for company that things."
"""Each is a token, or begins with one: transformers takes a space that is a token by itself for a word."""


def trimmed(found: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Without the space that transformers counts as part of a word where a tokenizer keeps it."""
    for record in found:
        while record["start"] < record["end"] and text[record["start"]] == " ":
            record["start"] += 1
    return found


@pytest.mark.parametrize(
    ("model_type", "kind", "texts"),
    [("bert", "wordpiece", MANY), ("roberta", "bytes", [WORDS]), ("xlm-roberta", "metaspace", [WORDS])],
)
def test_results_are_those_of_transformers(model_type: str, kind: str, texts: list[str]) -> None:
    path = headed(model_type, HEAD, kind)
    expected = theirs("ner", path)
    with honed.pipeline("ner", path, dtype="float32") as ours, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for strategy in STRATEGIES:
            settings: dict[str, Any] = {"aggregation_strategy": strategy, "ignore_labels": ["PER"]}
            for text in texts:
                assert close(ours(text, **settings), trimmed(expected(text, **settings), text)), (strategy, text)
            assert ours(texts, **settings) == [ours(text, **settings) for text in texts]


def test_long_texts_lose_nothing() -> None:
    path = headed("bert", HEAD)
    text = "Ann lives in Berlin. " * 60
    with honed.pipeline("ner", path, aggregation_strategy="simple", ignore_labels=[]) as ours:
        found = ours(text)
        covered = {index for one in found for index in range(one["start"], one["end"])}
        assert covered >= {index for index, letter in enumerate(text) if letter != " "}
        assert ours(text, stride=8) != [] and ours([text, "Ann"])[0] == found
        with pytest.raises(ParameterError, match="stride"):
            ours(text, stride=62)
        with pytest.raises(ParameterError, match="aggregation_strategy"):
            ours(text, aggregation_strategy="mean")
