"""Texts, or pairs of texts, to a score for each label of the checkpoint's head.

How logits become scores follows what the head was trained for, as in transformers: one of several labels by softmax,
any number of them, or a single one, each by sigmoid, and numbers (regression) as they are. Not here: labels that the
caller names (`tasks/zero_shot.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends.encoder import Output
from honed.records import dataclass
from honed.tasks.task import Function, Rows, Scores, TextOrPair, order, probabilities, read
from honed.text.encoder_input import EncoderInput, EncoderTexts


@dataclass(frozen=True)
class LabelScore:
    """What `scores` is of a label."""

    label: str
    score: float


class TextClassification:
    """Implements `EncoderTask`: a text or pair to scores [labels], in the order of the head's labels."""

    output: Output = "classes"

    def __init__(self, texts: EncoderTexts, function: Function) -> None:
        self._texts = texts
        self._function = function

    def inputs(self, given: TextOrPair) -> Sequence[EncoderInput]:
        """One; cut where it is too long."""
        return [read(self._texts, given)]

    def kept(self, given: EncoderInput) -> None:
        return None

    def result(self, given: TextOrPair, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> Scores:
        return probabilities(rows[0], self._function)


def ranked(labels: Sequence[str], scores: Scores, most: int | None = None) -> list[LabelScore]:
    """Labels from the highest score to the lowest, `most` of them (None: all)."""
    return [LabelScore(labels[place], float(scores[place])) for place in order(scores)[:most]]
