from __future__ import annotations

import numpy as np

from honed.tasks.features import Features
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer


def test_the_rows_as_they_are() -> None:
    texts = EncoderTexts(tokenizer(), 12)
    task = Features(texts)
    assert task.inputs("a b") == [texts.encode("a b")]
    rows = np.ones((4, 3), dtype=np.float32)
    assert task.result("a b", task.inputs("a b"), [rows]) is rows
