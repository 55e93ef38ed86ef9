"""What tasks share: reading texts and pairs, and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.tasks.task import order, probabilities, read, split
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer


def test_texts_and_pairs() -> None:
    texts = EncoderTexts(tokenizer(), 12)
    assert read(texts, "a b") == texts.encode("a b")
    for pair in (("a", "b c"), ["a", "b c"], {"text": "a", "text_pair": "b c"}):
        assert read(texts, pair) == texts.encode_pair("a", "b c")
    assert split({"text": "a"}) == ("a", None) == split({"text": "a", "text_pair": None})


@pytest.mark.parametrize("given_", [3, None, ("a", 3), ("a", "b", "c"), {"text_pair": "a"}, {"text": "a", "more": "b"}])
def test_what_is_no_text(given_: object) -> None:
    with pytest.raises(ParameterError, match="must be a text"):
        split(given_)


@settings(deadline=None)  # the first example imports torch
@given(st.lists(st.floats(-800, 800, width=32), min_size=1, max_size=9))
def test_probabilities(values: list[float]) -> None:
    import torch

    logits = np.array(values, dtype=np.float32)
    exact = torch.tensor(values, dtype=torch.float64)
    np.testing.assert_allclose(probabilities(logits, "softmax"), exact.softmax(-1), rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(probabilities(logits, "sigmoid"), exact.sigmoid(), rtol=1e-6, atol=1e-300)
    np.testing.assert_array_equal(probabilities(logits, "none"), logits)


def test_of_equal_scores_the_first_stands_first() -> None:
    assert order(np.array([1.0, 3.0, 3.0, 2.0])) == [1, 2, 3, 0]
