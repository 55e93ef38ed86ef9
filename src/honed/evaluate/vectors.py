"""What the vectors that two encoders give the same texts say about each other, text by text.

Everything is computed in float64 from float32 vectors. Averages and intervals are `evaluate/bootstrap.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
_TINY = 1e-30


@dataclass(frozen=True)
class VectorScores:
    """One value for each text."""

    cosine: Float64
    """Of its two vectors."""
    agreement: NDArray[np.bool_]
    """Whether the nearest other text, by cosine, is the same to both (the first among equals)."""


def compare_vectors(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> VectorScores:
    """Scores n texts by vectors [n, width] of both; at least two texts, or there is no nearest other one."""
    if len(reference) < 2:
        raise ValueError("two texts are needed to say which one is nearest")
    ours, theirs = _unit(candidate), _unit(reference)
    cosine = np.minimum(np.einsum("nw,nw->n", ours, theirs), 1.0)
    return VectorScores(cosine, _nearest(ours) == _nearest(theirs))


def _unit(rows: NDArray[np.float32]) -> Float64:
    wide = rows.astype(np.float64)
    unit: Float64 = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), _TINY)
    return unit


def _nearest(unit: Float64) -> NDArray[np.int64]:
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest: NDArray[np.int64] = cosines.argmax(axis=1)
    return nearest
