"""The pipeline of transformers for the rows of a text's tokens. One vector a text is `honed.TextEncoder.embed`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from honed.api.pipelines.base import EncoderPipeline
from honed.parameters import checks_names, flag
from honed.tasks.features import Features
from honed.tasks.task import Rows, TextOrPair


class FeatureExtractionPipeline(EncoderPipeline):
    """Rows of tokens."""

    task = "feature-extraction"

    @checks_names
    def call(
        self,
        inputs: TextOrPair | Sequence[TextOrPair] | Iterable[TextOrPair],
        *,
        return_tensors: bool = False,
        truncation: object = True,
    ) -> Any:
        """A text, or several: of each its rows as nested lists [1, tokens, width], the tokens around the text included.

        return_tensors: arrays of numpy instead of lists. truncation: not needed, texts that are too long are cut.
        """
        del truncation
        arrays = flag("return_tensors", return_tensors)

        def told(rows: Rows) -> Any:
            return rows[None] if arrays else [rows.tolist()]

        return self.each(Features(self.model.tasks.texts), inputs, told)
