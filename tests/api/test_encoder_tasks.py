"""What an encoder can be asked for, by its head; and the methods of `honed.load` for it."""

from __future__ import annotations

from typing import Any

import pytest

import honed
from headed_models import headed
from honed.api.embed import TextEncoder
from honed.errors import ParameterError, UnsupportedError
from honed.tasks.question_answering import AnswerOptions

HEADS = {
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
    "ForMaskedLM": "fill_mask",
}


def load(head: str, **settings: Any) -> TextEncoder:
    found = honed.load(headed("bert", head, **settings))
    assert isinstance(found, TextEncoder)
    return found


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_for_one_task(head: str) -> None:
    arguments: dict[str, Any] = {"question_answering": [AnswerOptions()]}
    with load(head) as model:
        for other, method in HEADS.items():
            make = getattr(model.tasks, method)
            if other == head:
                make(*arguments.get(method, ()))
            else:
                with pytest.raises(UnsupportedError, match=r"has a head that .*; this needs a model that"):
                    make(*arguments.get(method, ()))
        assert model.embed(["Ann"]).shape == (1, 48)


def test_methods() -> None:
    with load("ForSequenceClassification", num_labels=3) as model:
        pipe = honed.pipeline("text-classification", model)
        (found,) = model.classify(["Ann"])
        assert [(one.label, one.score) for one in found] == [tuple(r.values()) for r in pipe("Ann", top_k=None)]
        assert len(model.classify(["Ann"], top_k=1)[0]) == 1
        with pytest.raises(ParameterError, match="top_k"):
            model.classify(["Ann"], top_k=0)
        with pytest.raises(ParameterError, match="one text"):
            model.classify("Ann")
    with load("ForTokenClassification") as model:
        assert [vars(one) for one in model.entities(["Ann lives"])[0]] == honed.pipeline(
            "ner", model, aggregation_strategy="simple"
        )("Ann lives")
    with load("ForQuestionAnswering") as model:
        (answer,) = model.answer("Ann?", "Ann lives")
        assert vars(answer) == honed.pipeline("question-answering", model)(question="Ann?", context="Ann lives")
    with load("ForMaskedLM") as model:
        (fillings,) = model.fill("Ann [MASK]", top_k=2)
        assert [vars(one) for one in fillings] == honed.pipeline("fill-mask", model, top_k=2)("Ann [MASK]")
        scores = model.relevance("Ann", ["Ann", "the dog"])
        assert scores[0] == pytest.approx(1.0, abs=1e-6) and scores[1] < scores[0]
