"""How near texts are to one: what the hub's sentence-similarity task does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honed.api.pipelines.base import EncoderPipeline
from honed.errors import ParameterError
from honed.parameters import checks_names, texts
from honed.tasks.similarity import cosines


class SentenceSimilarityPipeline(EncoderPipeline):
    """Cosines of vectors."""

    task = "sentence-similarity"

    @checks_names
    def call(
        self,
        source_sentence: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        sentences: Sequence[str] | None = None,
        *,
        pooling: str | None = None,
        prompt: str | None = None,
    ) -> Any:
        """A text and others, or {"source_sentence", "sentences"}, or several of these: for each a list of numbers from
        -1 to 1, in the order of the sentences. pooling, prompt: as of `TextEncoder.embed`."""
        if sentences is not None:
            return self._similar(source_sentence, sentences, pooling, prompt)
        if isinstance(source_sentence, Mapping):
            return self._of_record(source_sentence, pooling, prompt)
        if isinstance(source_sentence, str):
            raise ParameterError("sentences", None, "must be texts to compare with")
        return [self._of_record(one, pooling, prompt) for one in source_sentence]

    def _of_record(self, given: Any, pooling: str | None, prompt: str | None) -> list[float]:
        if not isinstance(given, Mapping) or set(given) != {"source_sentence", "sentences"}:
            raise ParameterError("inputs", given, "must have source_sentence and sentences")
        return self._similar(given["source_sentence"], given["sentences"], pooling, prompt)

    def _similar(self, source: object, others: object, pooling: str | None, prompt: str | None) -> list[float]:
        if not isinstance(source, str):
            raise ParameterError("source_sentence", source, "must be a text")
        listed = texts("sentences", others)
        rows = self.model.embed([source, *listed], pooling=pooling, normalize=True, prompt=prompt)
        return cosines(rows[0], rows[1:])
