"""Tasks over rows: what is added is what the pipelines give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import honed
from headed_models import headed
from honed.api.embed import TextEncoder
from honed.api.offline.task_work import ROWS
from honed.api.offline.work import ADDED, GenerateOptions, task_of, work_of
from honed.errors import ParameterError, UnsupportedError

CLASSES = "ForSequenceClassification"
NLI = ("contradiction", "neutral", "entailment")
CASES: list[tuple[str, dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    (CLASSES, {"num_labels": 3}, "text-classification", {"text": "Ann"}, {}),
    (
        CLASSES,
        {"labels": NLI},
        "zero-shot-classification",
        {"text": "Ann"},
        {"candidate_labels": "a,b"},
    ),
    ("ForTokenClassification", {}, "token-classification", {"sentence": "Ann lives"}, {}),
    ("ForQuestionAnswering", {}, "question-answering", {"question": "Ann?", "context": "Ann lives"}, {"top_k": 2}),
    ("ForMaskedLM", {}, "fill-mask", {"text": "Ann [MASK]"}, {"top_k": 2}),
    ("ForMaskedLM", {}, "feature-extraction", {"text": "Ann"}, {}),
    ("ForMaskedLM", {}, "sentence-similarity", {"source_sentence": "Ann", "sentences": ["a", "b"]}, {}),
    ("ForMaskedLM", {}, "text-ranking", {"query": "Ann", "documents": ["a", "b"]}, {}),
]


def encoder(head: str, **settings: Any) -> TextEncoder:
    found = honed.load(headed("bert", head, **settings))
    assert isinstance(found, TextEncoder)
    return found


@pytest.mark.parametrize(("head", "made", "task", "row", "settings"), CASES, ids=[case[2] for case in CASES])
def test_every_task_adds_its_fields(head: str, made: Any, task: str, row: Any, settings: Any) -> None:
    with encoder(head, **made) as model:
        found = work_of(model, GenerateOptions(), task, settings)(0, row)
        assert list(found) == list(ROWS[task].adds) == list(ADDED[task][:-1])
        pipe = honed.pipeline(task, model, **settings)
        match task:
            case "text-classification":
                assert found["predictions"] == pipe("Ann", top_k=None)
                assert pipe("Ann") == [{"label": found["prediction"], "score": found["score"]}]
                pair = work_of(model, GenerateOptions(), task)(0, {**row, "text_pair": "lives"})
                assert pair["score"] != found["score"]
            case "zero-shot-classification":
                expected = pipe("Ann")
                assert [one["score"] for one in found["predictions"]] == expected["scores"]
                own = work_of(model, GenerateOptions(), task)(0, {**row, "candidate_labels": ["a", "b"]})
                assert own == found
            case "token-classification":
                assert found["entities"] == pipe("Ann lives", aggregation_strategy="simple")
            case "question-answering":
                assert found["predictions"] == pipe(**row) and found["prediction"] == pipe(**row)[0]["answer"]
            case _:
                assert found == {ROWS[task].adds[0]: pipe(*row.values())}
        error = work_of(model, GenerateOptions(), task, settings)(0, {"other": "x"})["error"]
        assert "'other'" in error


def test_the_task_follows_from_the_head(tiny_llama: Path) -> None:
    with encoder("ForTokenClassification") as model:
        assert task_of(model, None) == task_of(model, "ner") == "token-classification"
        assert task_of(model, "embed") == "embed"
        with pytest.raises(ParameterError, match="is for embed"):
            task_of(model, "text-generation")
        with pytest.raises(UnsupportedError, match="fills masks"):
            work_of(model, GenerateOptions(), "fill-mask")
        with pytest.raises(ParameterError, match="aggregation"):
            work_of(model, GenerateOptions(), "token-classification", {"agregation_strategy": "first"})
        with pytest.raises(ParameterError, match="parameter"):
            work_of(model, GenerateOptions(), "embed", {"top_k": 3})
        assert "error" in work_of(model, GenerateOptions(), "token-classification")(0, {"text": 3})
    with encoder("ForMaskedLM") as model:
        assert task_of(model, None) == "embed"
    with honed.load(tiny_llama) as generator:
        assert task_of(generator, None) == task_of(generator, "text-generation") == "generate"
