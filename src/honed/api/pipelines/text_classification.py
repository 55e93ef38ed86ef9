"""The pipeline of transformers for labels of texts, or of pairs of texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, Record, records
from honed.parameters import checks_names, whole_number
from honed.tasks.task import Scores, TextOrPair
from honed.tasks.text_classification import ranked

_LEFT_OUT: Literal[""] = ""


class TextClassificationPipeline(EncoderPipeline):
    """Labels and their scores. Also called sentiment-analysis."""

    task = "text-classification"

    def check(self, model: TextEncoder) -> None:
        model.tasks.text_classification()

    @checks_names
    def call(
        self,
        inputs: TextOrPair | list[TextOrPair] | Iterable[TextOrPair],
        *,
        top_k: int | Literal[""] | None = _LEFT_OUT,
        function_to_apply: str | None = None,
        truncation: object = True,
        padding: object = None,
        max_length: int | None = None,
    ) -> Any:
        """A text, a pair as {"text": ..., "text_pair": ...}, or several: the best label of each as {"label", "score"}.

        As transformers has it, one text alone gives a list with its label. top_k: so many labels of each as a list,
        None for all. function_to_apply: softmax, sigmoid or none, instead of what the model was trained for.
        max_length: tokens at which a text is cut (None: what the model takes). truncation, padding: not needed, texts
        that are too long are always cut and none is padded.
        """
        del truncation, padding
        names = self._names()
        left_out = isinstance(top_k, str)
        most = 1 if isinstance(top_k, str) else None if top_k is None else whole_number("top_k", top_k, 1)

        def told(scores: Scores) -> list[Record] | Record:
            found = records(ranked(names, scores, most))
            return found[0] if left_out else found

        task = self.model.tasks.text_classification(function_to_apply, max_length)
        found = self.each(task, inputs, told)
        return [found] if left_out and isinstance(inputs, str) else found

    def _names(self) -> tuple[str, ...]:
        labels = self.model.labels
        assert labels is not None
        return labels.names
