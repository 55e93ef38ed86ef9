"""Documents by how well they answer a query: names and results are those of a cross-encoder of sentence-transformers.

A model with a head for one label reads query and document together; any other compares their vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honed.api.embed import TextEncoder
from honed.api.pipelines.base import EncoderPipeline, Record
from honed.errors import ParameterError
from honed.parameters import checks_names, flag, texts, whole_number


class TextRankingPipeline(EncoderPipeline):
    """Ranks. Also called rerank."""

    task = "text-ranking"

    def check(self, model: TextEncoder) -> None:
        if model.tasks.has("classes"):
            model.tasks.ranking()

    @checks_names
    def call(
        self,
        query: str | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        documents: Sequence[str] | None = None,
        *,
        top_k: int | None = None,
        return_documents: bool = False,
    ) -> Any:
        """A query and documents, or {"query", "documents"}, or several of these: for each a list of {"corpus_id",
        "score"}, the best first; corpus_id counts documents from 0.

        top_k: so many of them (None: all). return_documents: each with its "text". A score is from 0 to 1 of a
        cross-encoder (as it is where its config says so), from -1 to 1 of any other encoder.
        """
        most = None if top_k is None else whole_number("top_k", top_k, 1)
        shown = flag("return_documents", return_documents)
        if documents is not None:
            return self._ranked(query, documents, most, shown)
        if isinstance(query, Mapping):
            return self._of_record(query, most, shown)
        if isinstance(query, str):
            raise ParameterError("documents", None, "must be texts to rank")
        return [self._of_record(one, most, shown) for one in query]

    def _of_record(self, given: Any, most: int | None, shown: bool) -> list[Record]:
        if not isinstance(given, Mapping) or set(given) != {"query", "documents"}:
            raise ParameterError("inputs", given, "must have query and documents")
        return self._ranked(given["query"], given["documents"], most, shown)

    def _ranked(self, query: object, documents: object, most: int | None, shown: bool) -> list[Record]:
        if not isinstance(query, str):
            raise ParameterError("query", query, "must be a text")
        listed = texts("documents", documents)
        scores = self.model.relevance(query, listed)
        order = sorted(range(len(listed)), key=lambda index: -scores[index])[:most]
        return [
            {"corpus_id": index, "score": scores[index], **({"text": listed[index]} if shown else {})}
            for index in order
        ]
