"""Against the pipeline of transformers on the same random models: results are the same, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import honed
from headed_models import close, headed, theirs
from honed.errors import ParameterError, UnsupportedError
from honed.notes import HonedWarning

TEXTS = ["Ann lives in Paris, doesn't she?", "北京是中国的首都", "Zu\u0308rich \U0001f600", "unbelievable things", ""]
PAIR = {"text": "Ann lives", "text_pair": "in Berlin"}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"top_k": None},
    {"top_k": 1},
    {"top_k": 2, "function_to_apply": "sigmoid"},
    {"function_to_apply": "none"},
]


@pytest.mark.parametrize(
    ("model_type", "kind", "settings"),
    [
        ("bert", "wordpiece", (("num_labels", 3),)),
        ("bert", "wordpiece", (("num_labels", 1),)),
        ("bert", "wordpiece", (("num_labels", 2), ("problem_type", "multi_label_classification"))),
        ("bert", "wordpiece", (("num_labels", 1), ("problem_type", "regression"))),
        ("roberta", "bytes", (("labels", ("bad", "good")),)),
        ("modernbert", "metaspace", (("num_labels", 4),)),
    ],
)
def test_results_are_those_of_transformers(model_type: str, kind: str, settings: Any) -> None:
    path = headed(model_type, "ForSequenceClassification", kind, **dict(settings))
    expected = theirs("text-classification", path)
    pairs: list[Any] = [PAIR, [PAIR]]
    with honed.pipeline("sentiment-analysis", path, dtype="float32") as ours:
        for given in (TEXTS[0], TEXTS, *pairs):
            for more in SETTINGS:
                assert close(ours(given, **more), expected(given, **more)), (given, more)


def test_a_text_has_the_same_bits_whatever_stands_beside_it() -> None:
    with honed.pipeline("text-classification", headed("bert", "ForSequenceClassification", num_labels=3)) as ours:
        together = ours(TEXTS, top_k=None)
        assert together == [ours(text, top_k=None) for text in TEXTS]
        assert list(ours(iter(TEXTS), top_k=None)) == together
        read: list[int] = []

        def given() -> Iterator[str]:
            for number in range(1000):
                read.append(number)
                yield "Ann"

        results = ours(given())
        next(results)
        assert len(read) < 600


def test_long_texts_are_cut() -> None:
    with honed.pipeline("text-classification", headed("bert", "ForSequenceClassification", num_labels=3)) as ours:
        with pytest.warns(HonedWarning, match="longer than 64 tokens"):
            assert ours("a " * 500) == ours("a " * 62)
        assert ours("a " * 500, max_length=8, truncation=True) == ours("a " * 6)


def test_what_is_wrong_is_named() -> None:
    path = headed("bert", "ForSequenceClassification", num_labels=3)
    with honed.pipeline("text-classification", path, top_k=2, batch_size=8) as ours:
        assert len(ours("Ann")) == 2 and len(ours("Ann", top_k=3)) == 3
        for given in (3, ["a", None], {"texts": "a"}):
            with pytest.raises(ParameterError, match="must be a text"):
                ours(given)
        for settings, named in (
            ({"top_k": 0}, "top_k"),
            ({"function_to_apply": "tanh"}, "function_to_apply"),
            ({"top_K": 1}, "top_K"),
            ({"batch_size": -1}, "batch_size"),
        ):
            with pytest.raises(ParameterError, match=named):
                ours("Ann", **settings)
    with pytest.raises(ParameterError, match="did you mean top_k"):
        honed.pipeline("text-classification", path, topk=2)
    with pytest.raises(UnsupportedError, match=r"classifies texts.*labels tokens"):
        honed.pipeline("ner", path)
