from __future__ import annotations

import numpy as np
import pytest

from honed.errors import UnsupportedError
from honed.tasks.ranking import Ranking
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer

ROW = [np.array([-0.5], dtype=np.float32)]


def test_a_pair_has_a_score() -> None:
    texts = EncoderTexts(tokenizer(), 12)
    task = Ranking(texts, 1)
    (pair,) = task.inputs(("a", "b"))
    assert pair == texts.encode_pair("a", "b")
    assert task.result(("a", "b"), [pair], ROW) == pytest.approx(1 / (1 + np.exp(0.5)), rel=1e-12)
    assert Ranking(texts, 1, "none").result(("a", "b"), [pair], ROW) == -0.5
    with pytest.raises(UnsupportedError, match="3 labels"):
        Ranking(texts, 3)
