"""BLEU and chrF of texts against any number of references, by sacrebleu, whose signature reports name.

Both are functions of counts summed over a corpus (Papineni et al. 2002, Popovic 2015), so that a resample is a sum and
not another run. Not here: summaries (`summaries.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.errors import ParameterError
from honed.evaluate.metrics.base import Float64, Measured, Metric, MetricOptions, additive, needs_extra


def _sacrebleu() -> Any:
    try:
        import sacrebleu.metrics
    except ImportError:
        raise needs_extra("bleu and chrf", "sacrebleu") from None
    return sacrebleu.metrics


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """The first reference of each text, the second ones, and so on; None where a text has fewer."""
    most = max(len(texts) for texts in references)
    return [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]


def _corpus(scorer: Any, each: Any, references: Sequence[Sequence[str]], predictions: Sequence[str]) -> Measured:
    counts = scorer._extract_corpus_statistics(list(predictions), _streams(references))
    parts = np.array(counts, dtype=np.float64)

    def value(sums: Float64) -> Float64:
        # sacrebleu takes whole numbers.
        rows = np.rint(sums).astype(np.int64).tolist()
        return np.array([scorer._compute_score_from_stats(row).score for row in rows])

    scores = [
        each.sentence_score(found, list(texts)).score for found, texts in zip(predictions, references, strict=True)
    ]
    return additive(parts, value, np.array(scores))


def _bleu(references: Sequence[Sequence[str]], predictions: Sequence[str], options: MetricOptions) -> Measured:
    metrics = _sacrebleu()
    known = metrics.BLEU.TOKENIZERS
    if options.tokenize is not None and options.tokenize not in known:
        raise ParameterError("options.tokenize", options.tokenize, f"must be one of {', '.join(known)}")
    scorer = metrics.BLEU(tokenize=options.tokenize)
    return _corpus(scorer, metrics.BLEU(tokenize=options.tokenize, effective_order=True), references, predictions)


def _chrf(references: Sequence[Sequence[str]], predictions: Sequence[str], options: MetricOptions) -> Measured:
    scorer = _sacrebleu().CHRF()
    return _corpus(scorer, scorer, references, predictions)


METRICS = (Metric("bleu", _bleu, bounded=False), Metric("chrf", _chrf, bounded=False))
