"""Which words a classifier's decision rests on, and how far that moved from one model to another.

By occlusion, a word's weight is what the probability of the label loses when the word is left out (Zeiler and Fergus
2014). Gradients come from a backend that has them (`backends/pytorch_encoder.py`); here they are put together to words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honed.evaluate.attack import with_text
from honed.evaluate.examples import Example
from honed.evaluate.metrics.base import Float64, MetricOptions
from honed.evaluate.metrics.classification import Classified
from honed.evaluate.metrics.similarity import METRICS
from honed.evaluate.task_file import TaskFile

EXPLAINED = 24
"""Examples at most."""
SHOWN = 6
"""Of them on the page."""
_MOST_WORDS = 64
_SPEARMAN = METRICS[0]


@dataclass(frozen=True)
class Moved:
    """How far weights of words moved, an entry an example. rank: Spearman's correlation of both. same_top: whether the
    heaviest word is the same."""

    rank: Float64
    same_top: Float64


def explainable(examples: Sequence[Example]) -> list[Example]:
    """Those that are explained: the first ones with more words than one and not too many to be read."""
    found = [example for example in examples if 2 <= len(example.inputs["text"].split()) <= _MOST_WORDS]
    return found[:EXPLAINED]


def occluded(task: TaskFile, example: Example) -> list[Example]:
    """The example, then once without each of its words."""
    words = example.inputs["text"].split()
    texts = [" ".join(words), *(" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))]
    return [with_text(task, example, text) for text in texts]


def occlusion(label: str, found: Sequence[Classified]) -> Float64:
    """The weights of words [words], of what was said of `occluded` examples."""
    scores = np.array([said.scores.get(label, 0.0) for said in found])
    return np.asarray(scores[0] - scores[1:])


def of_words(text: str, spans: Sequence[tuple[int, int] | None], weights: Float64) -> Float64:
    """Weights of tokens, which stand at `spans` of the text, summed to words [words]."""
    words = text.split()
    starts, place = [], 0
    for word in words:
        place = text.index(word, place)
        starts.append(place)
        place += len(word)
    found = np.zeros(len(words))
    for span, weight in zip(spans, weights, strict=True):
        if span is not None:
            found[max(0, int(np.searchsorted(starts, span[1] - 1, side="right")) - 1)] += weight
    return found


def moved(ours: Sequence[Float64], theirs: Sequence[Float64]) -> Moved:
    """Compares weights of the same words by two models. Where all weigh the same there is no rank: NaN."""
    pairs = list(zip(ours, theirs, strict=True))
    ranks = [_SPEARMAN.measure(a, b, MetricOptions()).value for a, b in pairs]  # type: ignore[arg-type]
    return Moved(np.array(ranks), np.array([float(a.argmax() == b.argmax()) for a, b in pairs]))
