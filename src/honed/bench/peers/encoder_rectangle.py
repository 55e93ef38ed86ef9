"""Texts as other systems take them: filled up to the longest of a batch, and the rows that come back pooled with numpy.

Also imported by the measured process of another system: the standard library, and numpy where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from honed.bench.encoders.contender import Vectors

CLASSES = {
    "vectors": "AutoModel",
    "classes": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
}
"""Of transformers, by what is asked for."""


def rectangle(texts: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Ids filled up with zeros to the longest text, and 1 where there is a token."""
    width = max(map(len, texts))
    ids = [[*text, *[0] * (width - len(text))] for text in texts]
    mask = [[1] * len(text) + [0] * (width - len(text)) for text in texts]
    return ids, mask


class RectangleRunner:
    """The measured side of a system that takes arrays of numpy, filled up to a rectangle, and gives a row for each
    token."""

    def __init__(
        self, run: Callable[[Mapping[str, Any]], Any], names: Sequence[str], arguments: Mapping[str, Any]
    ) -> None:
        """names: of the inputs that `run` takes. arguments: asked, dtype, pooling, normalize."""
        self._run = run
        self._names = names
        self._arguments = arguments

    @property
    def isa(self) -> str | None:
        """It does not say."""
        return None

    @property
    def dtype(self) -> str:
        return str(self._arguments["dtype"])

    def encode(self, texts: Sequence[Sequence[int]]) -> Any:
        import numpy as np

        ids, mask = (np.array(values, dtype=np.int64) for values in rectangle(texts))
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        rows = self._run({name: given[name] for name in self._names})
        if self._arguments["asked"] == "classes":
            return rows
        if self._arguments["asked"] == "tags":
            return [row[: len(text)].reshape(-1) for row, text in zip(rows, texts, strict=True)]
        match self._arguments["pooling"]:
            case "mean":
                weights = mask[..., None].astype(np.float32)
                pooled = (rows * weights).sum(1) / weights.sum(1)
            case "cls":
                pooled = rows[:, 0]
            case _:
                pooled = rows[np.arange(len(texts)), mask.sum(1) - 1]
        if not self._arguments["normalize"]:
            return pooled
        return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)

    def numbers(self, vectors: Any) -> Vectors:
        return [vector.tolist() for vector in vectors]
