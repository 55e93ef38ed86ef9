"""Token scores against plain-Python sums in exact rationals' nearest thing, math.fsum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.evaluate.metrics.tokens import compare_logits


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = math.log(math.fsum(math.exp(value - top) for value in row))
    return [value - top - total for value in row]


def random_logits(rows: int, vocabulary: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 5, (rows, vocabulary)).astype(np.float32)


@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 2), (5, 37), (9, 100_003)])
def test_scores_equal_the_definitions(rows: int, vocabulary: int) -> None:
    reference = random_logits(rows, vocabulary, 1)
    candidate = reference + random_logits(rows, vocabulary, 2) * np.float32(0.1)
    targets = np.random.default_rng(3).integers(vocabulary, size=rows).astype(np.int32)
    scores = compare_logits(reference, candidate, targets)
    for i in range(rows):
        p, q = log_softmax(reference[i].tolist()), log_softmax(candidate[i].tolist())
        assert scores.reference_loss[i] == pytest.approx(-p[targets[i]], rel=1e-12)
        assert scores.candidate_loss[i] == pytest.approx(-q[targets[i]], rel=1e-12)
        divergence = math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))
        assert scores.divergence[i] == pytest.approx(divergence, rel=1e-9, abs=1e-12)
        assert scores.agreement[i] == (p.index(max(p)) == q.index(max(q)))


def test_equal_logits_diverge_by_exactly_nothing() -> None:
    logits = random_logits(6, 999, 4)
    scores = compare_logits(logits, logits.copy(), np.zeros(6, dtype=np.int32))
    assert (scores.divergence == 0.0).all()
    assert scores.agreement.all()
    np.testing.assert_array_equal(scores.candidate_loss, scores.reference_loss)


def test_known_divergence_of_two_coins() -> None:
    def coin(p: float) -> NDArray[np.float32]:
        return np.array([[math.log(p), math.log(1 - p)]], dtype=np.float32)

    scores = compare_logits(coin(0.5), coin(0.25), np.array([0], dtype=np.int32))
    assert scores.divergence[0] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-6)
    assert scores.candidate_loss[0] == pytest.approx(math.log(4), rel=1e-6)
    backwards = compare_logits(coin(0.25), coin(0.5), np.array([0], dtype=np.int32))
    assert backwards.divergence[0] != pytest.approx(scores.divergence[0], rel=1e-2), "the direction matters"


def test_uniform_logits_give_the_size_of_the_vocabulary() -> None:
    flat = np.zeros((3, 512), dtype=np.float32)
    scores = compare_logits(flat, random_logits(3, 512, 5), np.array([0, 5, 511], dtype=np.int32))
    np.testing.assert_allclose(scores.reference_loss, math.log(512), rtol=1e-14)


def test_huge_logits_do_not_overflow() -> None:
    huge = np.array([[3e38, -3e38, 0.0], [-3e38, -3e38, -3e38]], dtype=np.float32)
    scores = compare_logits(huge, huge, np.array([0, 2], dtype=np.int32))
    np.testing.assert_allclose(scores.reference_loss, [0.0, math.log(3)])
    assert (scores.divergence == 0).all()


def test_ties_go_to_the_lowest_id() -> None:
    tied = np.array([[1.0, 1.0, 0.0]], dtype=np.float32)
    lower = np.array([[1.0, 0.5, 0.0]], dtype=np.float32)
    upper = np.array([[0.5, 1.0, 0.0]], dtype=np.float32)
    target = np.array([2], dtype=np.int32)
    assert compare_logits(tied, lower, target).agreement[0]
    assert not compare_logits(tied, upper, target).agreement[0]
