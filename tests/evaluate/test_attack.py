from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honed.evaluate.attack import attack, frequent_words, misspelled, near_words, with_text
from honed.evaluate.examples import Example, make_example
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.task_file import make_task

TASK = make_task({"version": 1, "task": "text-classification", "data": {"path": "x.jsonl"}})
GOOD = {"great": 2.0, "fine": 1.0, "decent": 0.4, "dull": -1.0}


def example(text: str) -> Example:
    return make_example(TASK, 1, {"text": text, "label": "good"})


def predict(examples: Sequence[Example]) -> list[Classified]:
    """A classifier that sums words."""
    found = []
    for one in examples:
        total = sum(GOOD.get(word.lower().strip(".,"), 0.0) for word in one.inputs["text"].split())
        share = 1 / (1 + np.exp(-(total - 0.5)))
        found.append(Classified(("good" if share > 0.5 else "bad",), {"good": share, "bad": 1 - share}))
    return found


def test_the_weightiest_word_goes_first_and_the_decision_falls() -> None:
    found = attack(TASK, example("A Great, fine film."), predict, {"great": ["decent", "dull"], "film": ["movie"]})
    assert found.flipped and found.replaced == 1
    assert found.text == "A Dull, fine film."


def test_what_does_not_help_is_not_replaced() -> None:
    found = attack(TASK, example("great great film"), predict, {"great": ["great"], "film": ["movie"]})
    assert not found.flipped and found.replaced == 0 and found.text == "great great film"
    assert not attack(TASK, example("great"), predict, {}).flipped


def test_four_words_at_most() -> None:
    found = attack(TASK, example("great " * 9 + "film"), predict, {"great": ["decent"]})
    assert not found.flipped and found.replaced == 4


def test_candidates() -> None:
    assert frequent_words(["The cat, the 12 of CATS", "cat"]) == ["cat", "the", "cats"]
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert near_words(["a", "b", "c"], vectors) == {"a": ["b"], "b": ["a"], "c": []}
    typos = misspelled(["wonderful"], 1)["wonderful"]
    assert typos and "wonderful" not in typos and typos == misspelled(["wonderful"], 1)["wonderful"]


def test_another_text_in_the_same_example() -> None:
    assert with_text(TASK, example("a"), "b").inputs == {"text": "b"}
