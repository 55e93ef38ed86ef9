"""Against logits of transformers' model: its pipeline for the task ended with version 5."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import honed
from headed_models import headed
from honed.errors import ParameterError

QUESTION, CONTEXT = "Ann lives?", "Ann lives in Berlin and works for a company near Paris. 北京是首都"


@pytest.fixture(scope="module")
def ours() -> Any:
    with honed.pipeline("question-answering", headed("bert", "ForQuestionAnswering"), dtype="float32") as made:
        yield made


def test_the_best_answer_is_that_of_the_logits_of_transformers(ours: Any) -> None:
    import torch
    import transformers

    path = headed("bert", "ForQuestionAnswering")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(path, dtype=torch.float32).eval()
    encoded = tokenizer(QUESTION, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    rows = [row for row, number in enumerate(encoded["token_type_ids"][0].tolist()) if number == 1][:-1]
    with torch.no_grad():
        logits = model(**encoded)
    sides = [getattr(logits, name)[0].double().numpy() for name in ("start_logits", "end_logits")]
    powers = [np.exp(side - side.max()) for side in sides]
    one, two = (power / power[[0, *rows]].sum() for power in powers)
    spans = [(one[first] * two[last], first, last) for first in rows for last in rows if first <= last < first + 15]
    best = max(spans)
    found = ours(question=QUESTION, context=CONTEXT, align_to_words=False)
    assert (found["start"], found["end"]) == (offsets[best[1]][0], offsets[best[2]][1])
    assert found["score"] == pytest.approx(best[0], rel=1e-3)
    assert CONTEXT[found["start"] : found["end"]] == found["answer"]
    none = ours(question=QUESTION, context=CONTEXT, top_k=999, handle_impossible_answer=True, align_to_words=False)
    empty = next(answer for answer in none if not answer["answer"])
    assert empty == {"score": pytest.approx(one[0] * two[0], rel=1e-3), "start": 0, "end": 0, "answer": ""}


def test_ways_to_ask(ours: Any) -> None:
    one = ours(question=QUESTION, context=CONTEXT)
    assert list(one) == ["score", "start", "end", "answer"]
    assert one == ours({"question": QUESTION, "context": CONTEXT})
    both = ours(question=[QUESTION, "Paris?"], context=CONTEXT)
    assert both[0] == one and len(both) == 2
    records = [{"question": question, "context": CONTEXT} for question in (QUESTION, "Paris?")]
    assert both == ours(records) == list(ours(iter(records)))
    assert len(ours(question=QUESTION, context=CONTEXT, top_k=3)) == 3


def test_answers_end_where_words_do(ours: Any) -> None:
    for answer in ours(question=QUESTION, context=CONTEXT, top_k=20, max_answer_len=3):
        for place in (answer["start"], answer["end"]):
            assert not re.fullmatch("[A-Za-z]{2}", CONTEXT[max(0, place - 1) : place + 1])


def test_a_long_context_is_read_whole(ours: Any) -> None:
    long = f"{'Berlin works. ' * 60}{CONTEXT}"
    answers = ours(question=QUESTION, context=long, top_k=2000, max_seq_len=48, doc_stride=8)
    assert max(answer["end"] for answer in answers) == len(long)
    assert all(long[answer["start"] : answer["end"]] == answer["answer"] for answer in answers)
    assert sum(answer["score"] for answer in answers) <= 1 + 1e-9


def test_what_is_wrong_is_named(ours: Any) -> None:
    for given, named in (
        ({"question": "a"}, "context"),
        ({"question": "", "context": "a"}, "question"),
        ({"question": ["a", "b"], "context": ["a", "b", "c"]}, "question"),
        ({"question": "a", "context": "b", "top_k": 0}, "top_k"),
        ({"question": "a", "context": "b", "doc_stride": 500}, "stride"),
    ):
        with pytest.raises(ParameterError, match=named):
            ours(**given)
    with pytest.raises(ParameterError, match="inputs"):
        ours("what?")
