from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from honed.errors import ParameterError
from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.translation import METRICS

BLEU, CHRF = METRICS
WORDS = ["the", "a", "cat", "sat", "on", "mat", ".", "dog's", "Übung"]


@pytest.fixture(scope="module")
def sacrebleu() -> Any:
    return pytest.importorskip("sacrebleu")


def texts(seed: int, n: int = 8) -> tuple[list[list[str]], list[str]]:
    draw = random.Random(seed)

    def line() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))

    references = [[line() for _ in range(draw.randint(1, 3))] for _ in range(n)]
    return references, [row[0] + " " + line() if draw.random() < 0.5 else line() for row in references]


def test_corpora_equal_sacrebleu(sacrebleu: Any) -> None:
    for seed in range(60):
        references, found = texts(seed)
        streams = [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]
        for metric, theirs in ((BLEU, sacrebleu.corpus_bleu), (CHRF, sacrebleu.corpus_chrf)):
            assert metric.measure(references, found, MetricOptions()).value == theirs(found, streams).score


def test_a_resample_is_the_corpus_of_what_was_drawn(sacrebleu: Any) -> None:
    references, found = texts(3)
    draws = np.array([[0, 2, 1, 0, 3, 1, 0, 1]], dtype=float)
    rows = np.repeat(np.arange(8), draws[0].astype(int))
    for metric in METRICS:
        part = metric.measure([references[i] for i in rows], [found[i] for i in rows], MetricOptions()).value
        assert metric.measure(references, found, MetricOptions()).of(draws)[0] == pytest.approx(part, rel=1e-12)


def test_the_tokenizer_counts(sacrebleu: Any) -> None:
    references, found = [["你好世界今天"]], ["你好世界明天"]
    plain = BLEU.measure(references, found, MetricOptions()).value
    assert BLEU.measure(references, found, MetricOptions(tokenize="zh")).value > plain
    with pytest.raises(ParameterError, match=r"options\.tokenize = 'chinese': must be one of"):
        BLEU.measure(references, found, MetricOptions(tokenize="chinese"))
