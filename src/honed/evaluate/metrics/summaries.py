"""ROUGE of summaries against any number of references, the best of which counts, by rouge-score (Lin 2004).

The value is the mean F1 over texts. `rougeLsum` compares sentence by sentence, which are lines of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.evaluate.metrics.base import Measured, Metric, MetricOptions, mean, needs_extra

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def _scorer(kind: str, stemmer: bool) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise needs_extra(kind, "rouge-score") from None
    return RougeScorer([kind], use_stemmer=stemmer)


def _rouge(kind: str) -> Metric:
    def measure(references: Sequence[Sequence[str]], predictions: Sequence[str], options: MetricOptions) -> Measured:
        scorer = _scorer(kind, options.stemmer)
        scores = [
            scorer.score_multi(list(texts), found)[kind].fmeasure
            for texts, found in zip(references, predictions, strict=True)
        ]
        return mean(np.array(scores, dtype=np.float64))

    return Metric(kind, measure)


METRICS = tuple(_rouge(kind) for kind in KINDS)
