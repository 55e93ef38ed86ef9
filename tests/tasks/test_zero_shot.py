from __future__ import annotations

import numpy as np
import pytest

from honed.errors import ParameterError, UnsupportedError
from honed.tasks.zero_shot import Hypotheses, ZeroShot, entailment, filled
from honed.text.encoder_input import EncoderTexts
from known_rows import tokenizer

NAMES = ("contradiction", "neutral", "Entailment")
LOGITS = [np.array(row, dtype=np.float32) for row in ([1, 0, 2], [0, 5, 3], [2, 1, -1])]


def task(*, multi_label: bool = False, names: tuple[str, ...] = NAMES) -> ZeroShot:
    return ZeroShot(EncoderTexts(tokenizer(), 10), names, template="h {}", multi_label=multi_label)


def test_a_pair_for_each_label_and_only_the_text_is_cut() -> None:
    inputs = task().inputs(Hypotheses("a b c d e f", ("g", "a b")))
    assert [one.tokens for one in inputs] == [(2, 4, 5, 6, 7, 8, 3, 11, 10, 3), (2, 4, 5, 6, 7, 3, 11, 4, 5, 3)]
    assert [one.dropped for one in inputs] == [1, 2]


def test_labels_that_exclude_each_other() -> None:
    asked = Hypotheses("a", ("x", "y", "z"))
    found = task().result(asked, task().inputs(asked), LOGITS)
    powers = np.exp([2.0, 3.0, -1.0])
    np.testing.assert_allclose(found.scores, powers / powers.sum(), rtol=1e-12)
    assert (found.text, found.labels) == ("a", ("x", "y", "z"))


def test_each_label_for_itself_and_one_alone() -> None:
    asked = Hypotheses("a", ("x", "y", "z"))
    found = task(multi_label=True).result(asked, [], LOGITS)
    expected = [np.exp(row[2]) / (np.exp(row[0]) + np.exp(row[2])) for row in LOGITS]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    np.testing.assert_allclose(task().result(Hypotheses("a", ("x",)), [], LOGITS[:1]).scores, expected[:1], rtol=1e-6)
    first = task(multi_label=True, names=("entailment", "neutral", "contradiction"))
    np.testing.assert_allclose(first.result(asked, [], LOGITS).scores[0], 1 / (1 + np.e), rtol=1e-6)


def test_what_cannot_be() -> None:
    with pytest.raises(UnsupportedError, match="positive"):
        entailment(("negative", "positive"))
    for template in ("no place", "{", "{name}", "{1}"):
        with pytest.raises(ParameterError, match="hypothesis_template"):
            ZeroShot(EncoderTexts(tokenizer(), 10), NAMES, template=template)
    assert filled("a {} b", "{}") == "a {} b"
    with pytest.raises(ParameterError, match="candidate_labels"):
        task().inputs(Hypotheses("a", ()))
