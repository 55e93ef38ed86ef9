"""Metrics of answers, of which any of several is right: exact match, and F1 of the words that both share.

Texts are compared as SQuAD does it (Rajpurkar et al. 2016): in lower case, without punctuation and English articles. An
example without answers is one that has none, which the empty answer says.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from honed.evaluate.metrics.base import Measured, Metric, MetricOptions, mean

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """What is compared of an answer."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, expected: str) -> float:
    """1 if both are the same, normalized."""
    return float(normalized(answer) == normalized(expected))


def word_f1(answer: str, expected: str) -> float:
    """The harmonic mean of how many words of the answer are expected and how many of those expected it has."""
    ours, theirs = normalized(answer).split(), normalized(expected).split()
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(ours), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


def _best(
    score: Callable[[str, str], float], references: Sequence[Sequence[str]], predictions: Sequence[str]
) -> list[float]:
    return [
        max(score(found, answer) for answer in (answers or [""]))
        for answers, found in zip(references, predictions, strict=True)
    ]


def _exact(references: Sequence[Sequence[str]], predictions: Sequence[str], options: MetricOptions) -> Measured:
    each = np.array(_best(exact_match, references, predictions))
    return mean(each, each == 1)


def _f1(references: Sequence[Sequence[str]], predictions: Sequence[str], options: MetricOptions) -> Measured:
    return mean(np.array(_best(word_f1, references, predictions)))


METRICS = (Metric("exact_match", _exact), Metric("answer_f1", _f1))
