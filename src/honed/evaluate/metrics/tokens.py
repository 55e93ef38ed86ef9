"""What two rows of logits say about each other, token by token. Averages and intervals are `evaluate/bootstrap.py`.

Everything is computed in float64 from float32 logits, with the maximum of each row subtracted first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# Rows worked on at once: the float64 temporaries of a large vocabulary stay within a cache's reach.
_BLOCK_VALUES = 1 << 18


@dataclass(frozen=True)
class TokenScores:
    """One value for each predicted token, in nats. All arrays have the same shape."""

    candidate_loss: Float64
    """-log p of the token that follows, under the candidate."""
    reference_loss: Float64
    """The same under the reference."""
    divergence: Float64
    """KL(reference || candidate) = sum of p_ref * (log p_ref - log p_cand) over the vocabulary (Kullback and Leibler
    1951)."""
    agreement: NDArray[np.bool_]
    """Whether both give the same most likely token (the lowest id among equals)."""


def compare_logits(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], targets: NDArray[np.int32]
) -> TokenScores:
    """Scores R rows: logits [R, vocabulary] of both, targets [R]. Equal logits give a divergence of exactly 0."""
    rows, vocabulary = reference.shape
    scores = TokenScores(np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows, dtype=np.bool_))
    step = max(1, _BLOCK_VALUES // vocabulary)
    for begin in range(0, rows, step):
        part = slice(begin, min(begin + step, rows))
        _compare_block(reference[part], candidate[part], targets[part], scores, part)
    return scores


def _compare_block(
    reference: NDArray[np.float32],
    candidate: NDArray[np.float32],
    targets: NDArray[np.int32],
    scores: TokenScores,
    part: slice,
) -> None:
    index = np.arange(reference.shape[0])
    best_reference = reference.argmax(axis=1)
    best_candidate = candidate.argmax(axis=1)
    scores.agreement[part] = best_reference == best_candidate
    shifted_reference = reference.astype(np.float64)
    shifted_reference -= shifted_reference[index, best_reference][:, None]
    shifted_candidate = candidate.astype(np.float64)
    shifted_candidate -= shifted_candidate[index, best_candidate][:, None]
    weights = np.exp(shifted_reference)
    total_reference = weights.sum(axis=1)
    log_reference = np.log(total_reference)
    log_candidate = np.log(np.exp(shifted_candidate).sum(axis=1))
    scores.reference_loss[part] = log_reference - shifted_reference[index, targets]
    scores.candidate_loss[part] = log_candidate - shifted_candidate[index, targets]
    shifted_reference -= shifted_candidate
    expected = np.einsum("rv,rv->r", weights, shifted_reference) / total_reference
    # The divergence of two nearly equal rows can round to just under its true lower bound.
    scores.divergence[part] = np.maximum(expected + (log_candidate - log_reference), 0.0)


def perplexity(loss: Float64) -> float:
    """exp of the mean loss in nats."""
    return float(np.exp(loss.mean()))
