"""The pipeline of transformers for labels of tokens and for named entities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, records
from honed.parameters import checks_names


class TokenClassificationPipeline(EncoderPipeline):
    """Tokens or entities, with their places in the text. Also called ner."""

    task = "token-classification"

    def check(self, model: TextEncoder) -> None:
        model.tasks.token_classification()

    @checks_names
    def call(
        self,
        inputs: str | Sequence[str] | Iterable[str],
        *,
        aggregation_strategy: str = "none",
        ignore_labels: Sequence[str] | None = None,
        stride: int | None = None,
    ) -> Any:
        """A text, or several: of each a list of {"entity", "score", "index", "word", "start", "end"}, or, with another
        aggregation_strategy than none, of {"entity_group", "score", "word", "start", "end"}.

        aggregation_strategy: simple puts tokens together; first, average and max give each word one label before that,
        by its first token, by the mean of scores, or by its surest token. ignore_labels: those that are not told, O if
        nothing is said. stride: tokens that the windows of a long text have in common. start and end count characters.
        """
        task = self.model.tasks.token_classification(aggregation_strategy, ignored=ignore_labels, stride=stride)
        return self.each(task, inputs, records)
