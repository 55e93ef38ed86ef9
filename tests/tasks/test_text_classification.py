from __future__ import annotations

import numpy as np

from honed.tasks.text_classification import LabelScore, TextClassification, ranked
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer


def test_scores_of_one_text() -> None:
    task = TextClassification(EncoderTexts(tokenizer(), 12), "sigmoid")
    inputs = task.inputs({"text": "a", "text_pair": "b"})
    assert [one.tokens for one in inputs] == [(2, 4, 3, 5, 3)]
    scores = task.result("a", inputs, [np.array([0.0, -1.0, 3.0], dtype=np.float32)])
    np.testing.assert_allclose(scores, 1 / (1 + np.exp([0.0, 1.0, -3.0])), rtol=1e-7)
    names = ["x", "y", "z"]
    assert [one.label for one in ranked(names, scores)] == ["z", "x", "y"]
    assert ranked(names, scores, 1) == [LabelScore("z", float(scores[2]))]
