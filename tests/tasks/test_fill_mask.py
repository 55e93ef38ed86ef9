from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from honed.errors import ParameterError, UnsupportedError
from honed.tasks.fill_mask import FillMask, mask_token
from honed.text.encoder_input import EncoderTexts
from honed.text.tokenizer import Tokenizer
from known_rows import WORDS, tokenizer

MASK = WORDS.index("h")
LOGITS = np.random.default_rng(4).standard_normal((2, len(WORDS))).astype(np.float32)


def masking() -> Tokenizer:
    return replace(tokenizer(), special_tokens={"mask_token": "h", "pad_token": "[PAD]"})


def task(**settings: object) -> FillMask:
    return FillMask(EncoderTexts(masking(), 12), masking(), **settings)  # type: ignore[arg-type]


def test_the_best_of_each_mask() -> None:
    made = task(most=3)
    inputs = made.inputs("a h b h")
    assert made.kept(inputs[0]) == [2, 4]
    found = made.result("a h b h", inputs, [LOGITS])
    assert len(found) == 2
    for fillings, logits in zip(found, LOGITS, strict=True):
        powers = np.exp(logits.astype(np.float64))
        best = np.argsort(-logits)[:3]
        assert [filling.token for filling in fillings] == best.tolist()
        np.testing.assert_allclose([f.score for f in fillings], powers[best] / powers.sum(), rtol=1e-12)
        assert [filling.token_str for filling in fillings] == [WORDS[token] for token in best]
    assert found[1][0].sequence == f"[CLS] a h b {WORDS[int(np.argmax(LOGITS[1]))]} [SEP]"


def test_targets() -> None:
    found = task(most=9, targets=["c", "a d", "c"]).result("h", task().inputs("h"), [LOGITS[:1]])[0]
    assert {filling.token_str for filling in found} == {"a", "c"}
    assert found[0].score >= found[1].score
    with pytest.raises(ParameterError, match="targets"):
        task(targets=[""])
    with pytest.raises(ParameterError, match="targets"):
        task(targets=[])


def test_a_text_needs_a_mask() -> None:
    with pytest.raises(ParameterError, match="without a h"):
        task().inputs("a b")
    with pytest.raises(ParameterError, match="cut before its h"):
        task().inputs("a " * 12 + "h")


def test_a_tokenizer_needs_one() -> None:
    assert mask_token(masking()) == ("h", MASK)
    with pytest.raises(UnsupportedError, match="no token that masks"):
        mask_token(tokenizer())
