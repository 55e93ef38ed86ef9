"""How near texts are to each other: the cosine of their vectors, from -1 to 1.

Where a checkpoint has prompts for queries and for documents, as sentence-transformers names them, they are used. Not
here: the vectors (`tasks/embeddings.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

QUERY = ("query",)
DOCUMENT = ("document", "passage", "corpus")


def prompt_among(known: Collection[str], names: Sequence[str]) -> str | None:
    """The first of the names that a checkpoint has a prompt of; None for its own default."""
    return next((name for name in names if name in known), None)


def cosines(one: NDArray[np.float32], others: NDArray[np.float32]) -> list[float]:
    """Of a vector [width] and each of others [n, width], all of length 1. Each row for itself: a product of the whole
    would be summed in an order that depends on how many there are."""
    return [float(np.dot(other.astype(np.float64), one.astype(np.float64))) for other in others]
