from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from honed.evaluate.metrics.base import MetricOptions
from honed.evaluate.metrics.summaries import KINDS, METRICS

WORDS = ["river", "runs", "running", "the", "2", "old", "bridges"]


@pytest.fixture(scope="module")
def scoring() -> Any:
    return pytest.importorskip("rouge_score.rouge_scorer")


def text(draw: random.Random) -> str:
    return "\n".join(" ".join(draw.choices(WORDS, k=draw.randint(1, 6))) for _ in range(draw.randint(1, 3)))


@pytest.mark.parametrize("stemmer", [False, True])
def test_a_thousand_random_texts_equal_rouge_score(scoring: Any, stemmer: bool) -> None:
    draw = random.Random(1)
    references, found = [[text(draw)] for _ in range(1000)], [text(draw) for _ in range(1000)]
    scorer = scoring.RougeScorer(list(KINDS), use_stemmer=stemmer)
    theirs = [scorer.score(row[0], said) for row, said in zip(references, found, strict=True)]
    for metric in METRICS:
        measured = metric.measure(references, found, MetricOptions(stemmer=stemmer))
        assert measured.each is not None
        assert measured.each.tolist() == [scores[metric.name].fmeasure for scores in theirs]
        assert measured.value == pytest.approx(float(np.mean(measured.each)), rel=1e-14)


def test_the_best_reference_counts(scoring: Any) -> None:
    measured = METRICS[0].measure([["no match", "the old river"]], ["the old river"], MetricOptions())
    assert measured.value == 1
