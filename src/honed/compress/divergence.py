"""How far logits are from others: KL(reference || candidate) as the mean over rows, where differences may be small.

With d = candidate - reference logits and p the reference's probabilities it is log(sum p exp(d - c)) - sum p (d - c)
for any c, which stays exact where both nearly agree: no two large logarithms are subtracted. Sums are in float64.
What a certificate says of a model is measured elsewhere (`evaluate/metrics/tokens.py`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_STEP_VALUES = 1 << 20
"""Values worked on at once by a thread."""


class Reference:
    """The logits that others are compared with, [rows, vocabulary]; kept, with their probabilities."""

    def __init__(self, logits: Floats) -> None:
        self._logits = logits
        self._probabilities = np.empty_like(logits)
        for rows in self._parts():
            part = np.exp(logits[rows].astype(np.float64) - logits[rows].max(axis=1, keepdims=True))
            self._probabilities[rows] = part / part.sum(axis=1, keepdims=True)

    def divergence(self, logits: Floats, *, threads: int) -> float:
        """In nats a row. The same to the bit whatever the number of threads."""
        if logits.shape != self._logits.shape:
            raise ValueError(f"logits are {logits.shape}, and those they are compared with {self._logits.shape}")
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda rows: self._of(logits, rows), self._parts())
            return float(np.concatenate(list(found)).mean())

    def _parts(self) -> list[slice]:
        count, vocabulary = self._logits.shape
        step = max(1, _STEP_VALUES // vocabulary)
        return [slice(first, min(first + step, count)) for first in range(0, count, step)]

    def _of(self, logits: Floats, rows: slice) -> NDArray[np.float64]:
        p = self._probabilities[rows].astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        difference = logits[rows].astype(np.float64)
        difference -= self._logits[rows]
        difference -= np.einsum("rv,rv->r", p, difference)[:, None]
        left = np.einsum("rv,rv->r", p, difference)
        np.expm1(difference, out=difference)
        # That of nearly equal rows can round to just under its lower bound.
        found: NDArray[np.float64] = np.maximum(np.log1p(np.einsum("rv,rv->r", p, difference)) - left, 0.0)
        return found
