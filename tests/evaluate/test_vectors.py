"""Scores of vectors, on rows whose cosines are known."""

from __future__ import annotations

import numpy as np
import pytest

from honed.evaluate.vectors import compare_vectors

ROWS = np.array([[1, 0], [0.8, 0.6], [0, 2]], np.float32)


def test_the_same_vectors() -> None:
    scores = compare_vectors(ROWS, 3 * ROWS)  # length does not count
    np.testing.assert_allclose(scores.cosine, 1, atol=1e-7)
    assert scores.cosine.max() <= 1
    assert scores.agreement.all()


def test_others() -> None:
    scores = compare_vectors(ROWS, np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32))
    np.testing.assert_allclose(scores.cosine, [1, 0.96, 1], rtol=1e-6)
    assert scores.agreement.tolist() == [True, False, True]  # the middle one was nearer to the first


def test_a_vector_of_zeros_is_like_none() -> None:
    scores = compare_vectors(ROWS, np.zeros_like(ROWS))
    assert scores.cosine.tolist() == [0, 0, 0]


def test_one_text_has_no_nearest() -> None:
    with pytest.raises(ValueError, match="two texts are needed"):
        compare_vectors(ROWS[:1], ROWS[:1])
