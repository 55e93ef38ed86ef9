"""Texts to the rows of their tokens. Not here: one vector for a text (`tasks/embeddings.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from honed.backends.encoder import Output
from honed.tasks.task import Rows, TextOrPair, read
from honed.text.encoder_input import EncoderInput, EncoderTexts


class Features:
    """Implements `EncoderTask`: a text or pair to its rows [tokens, width], those around the text included."""

    output: Output = "hidden"

    def __init__(self, texts: EncoderTexts) -> None:
        self._texts = texts

    def inputs(self, given: TextOrPair) -> Sequence[EncoderInput]:
        """One; cut where it is too long."""
        return [read(self._texts, given)]

    def kept(self, given: EncoderInput) -> None:
        return None

    def result(self, given: TextOrPair, inputs: Sequence[EncoderInput], rows: Sequence[Rows]) -> Rows:
        return rows[0]
