from __future__ import annotations

from typing import Any

import pytest

from honed.errors import HonedError
from honed.evaluate.examples import filled, make_example
from honed.evaluate.task_file import TaskFile, make_task


def task(kind: str, **more: Any) -> TaskFile:
    return make_task({"version": 1, "task": kind, "data": {"path": "x.jsonl"}, **more})


def test_labels_are_called_what_the_model_calls_them() -> None:
    kind = task("text-classification", fields={"text": "sentence"}, labels={"0": "bad", "1": "good"})
    example = make_example(kind, 3, {"sentence": "fine", "label": 1})
    assert (example.row, example.inputs, example.reference) == (3, {"text": "fine"}, ("good",))
    assert make_example(kind, 1, {"sentence": "", "label": ["1", "0"]}).reference == ("bad", "good")
    pair = make_example(kind, 1, {"sentence": "a", "label": "0", "text_pair": "b"})
    assert pair.inputs == {"text": "a", "text_pair": "b"}
    assert pair.shown == "a\nb"


def test_each_kind_takes_what_its_metrics_need() -> None:
    tagged = make_example(
        task("token-classification", labels={"3": "B-X"}), 1, {"tokens": ["a", "b"], "tags": [3, "O"]}
    )
    assert tagged.reference == ["B-X", "O"]
    assert tagged.shown == "a b"
    squad = {"question": "q", "context": "c", "answers": {"text": ["x", "y"], "answer_start": [0, 1]}}
    assert make_example(task("question-answering"), 1, squad).reference == ["x", "y"]
    ranked = make_example(task("ranking"), 1, {"query": "q", "candidates": '["a", "b"]', "grades": "[1, 0]"})
    assert (ranked.inputs["candidates"], ranked.reference) == (["a", "b"], [1.0, 0.0])
    assert make_example(task("similarity"), 1, {"text": "a", "text_pair": "b", "score": "2.5"}).reference == 2.5
    written = make_example(task("generation", prompt="Say {word}:"), 1, {"word": "hi", "references": "hello"})
    assert (written.prompt, written.reference, written.shown) == ("Say hi:", ["hello"], "Say hi:")


@pytest.mark.parametrize(
    ("kind", "columns", "said"),
    [
        ("similarity", {"text": "a", "score": 1}, r"row 7: has no 'text_pair', which similarity takes as text_pair"),
        ("similarity", {"text": "a", "text_pair": "b", "score": "much"}, "row 7: score = 'much': must be a number"),
        ("language-modelling", {"text": 4}, "row 7: text = 4: must be a text"),
        ("token-classification", {"tokens": ["a"], "tags": []}, r"tags = \[\]: must be a list of 1 tags"),
        ("ranking", {"query": "a", "candidates": ["a"], "grades": [1, 2]}, "must be 1 numbers, one a candidate"),
        ("ranking", {"query": "a", "candidates": ["a"], "grades": [True]}, "must be a list of numbers"),
    ],
)
def test_what_a_row_lacks_is_said(kind: str, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(HonedError, match=said):
        make_example(task(kind), 7, columns)


def test_templates_take_columns_and_leave_other_braces() -> None:
    assert filled("{a}: {1, 2} {b}", {"a": "x", "b": [1], "1": 0}, "here") == "x: {1, 2} [1]"
    with pytest.raises(HonedError, match=r"\{questoin\} is no column; there are question; did you mean \{question\}"):
        filled("{questoin}", {"question": ""}, "here")
