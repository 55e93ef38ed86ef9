from __future__ import annotations

import numpy as np
import pytest
from test_attack import TASK, example, predict

from honed.evaluate.attribution import explainable, moved, occluded, occlusion, of_words


def test_a_word_weighs_what_the_label_loses_without_it() -> None:
    variants = occluded(TASK, example("great  dull film"))
    assert [one.inputs["text"] for one in variants] == ["great dull film", "dull film", "great film", "great dull"]
    weights = occlusion("good", predict(variants))
    assert weights[0] > 0 > weights[1] and weights[2] == 0
    assert occlusion("bad", predict(variants)) == pytest.approx(-weights)


def test_tokens_are_summed_to_words() -> None:
    text = "an unhappy end."
    spans = [None, (0, 2), (3, 5), (5, 10), (11, 14), (14, 15), None]
    weights = np.array([9.0, 1, 2, 3, 4, 5, 9])
    assert of_words(text, spans, weights).tolist() == [1, 5, 9]


def test_how_far_weights_moved() -> None:
    same = np.array([3.0, 1, 2])
    far = moved([same, same, np.zeros(3)], [same * 2, -same, same])
    assert far.rank[:2].tolist() == pytest.approx([1, -1]) and np.isnan(far.rank[2])
    assert far.same_top.tolist() == [1, 0, 1]


def test_single_words_and_long_texts_are_not_explained() -> None:
    short, right, long = (example(text) for text in ("one", "two words", "w " * 200))
    assert explainable([short, right, long]) == [right]
