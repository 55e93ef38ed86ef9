"""How well documents answer a query, by a cross-encoder, which reads both together.

A head with one label gives a score through a sigmoid, unless the checkpoint says that it is used as it is; this is what
sentence-transformers does. Not here: ranking by the cosine of vectors (`tasks/similarity.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends.encoder import Output
from honed.errors import UnsupportedError
from honed.tasks.task import Function, Rows, probabilities, read
from honed.text.encoder_input import EncoderInput, EncoderTexts


class Ranking:
    """Implements `EncoderTask`: a pair of query and document to a score."""

    output: Output = "classes"

    def __init__(self, texts: EncoderTexts, labels: int, function: Function = "sigmoid") -> None:
        """labels: of the head. UnsupportedError for other than one: which of them would be the score?"""
        if labels != 1:
            raise UnsupportedError(f"text-ranking: the head has {labels} labels, and one that ranks has one")
        self._texts = texts
        self._function = function

    def inputs(self, given: tuple[str, str]) -> Sequence[EncoderInput]:
        return [read(self._texts, given)]

    def kept(self, given: EncoderInput) -> None:
        return None

    def result(self, given: tuple[str, str], inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> float:
        return float(probabilities(rows[0], self._function)[0])
