"""The divergence is that of its definition, and is exact where logits nearly agree."""

from __future__ import annotations

import numpy as np
import pytest

from honed.compress.divergence import Reference


def logits(rows: int, vocabulary: int, seed: int, scale: float = 4.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(rows, vocabulary)) * scale).astype(np.float32)


def by_definition(reference: np.ndarray, candidate: np.ndarray) -> float:
    def log_softmax(x: np.ndarray) -> np.ndarray:
        wide = x.astype(np.longdouble)
        wide -= wide.max(axis=1, keepdims=True)
        found: np.ndarray = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
        return found

    p, q = log_softmax(reference), log_softmax(candidate)
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


@pytest.mark.parametrize("scale", [3.0, 1e-1, 1e-3])
def test_it_is_that_of_the_definition(scale: float) -> None:
    reference = logits(37, 211, 1)
    candidate = reference + logits(37, 211, 2, scale)
    expected = by_definition(reference, candidate)
    assert Reference(reference).divergence(candidate, threads=1) == pytest.approx(expected, rel=1e-4)


def test_a_constant_in_a_row_is_no_difference() -> None:
    reference = (np.round(logits(5, 64, 1) * 64) / 64).astype(np.float32)
    assert Reference(reference).divergence(reference + np.float32(8), threads=1) == pytest.approx(0, abs=1e-15)
    assert Reference(reference).divergence(reference, threads=1) == 0.0


def test_threads_change_no_bit() -> None:
    reference, candidate = logits(70, 50_000, 1), logits(70, 50_000, 2)
    found = Reference(reference)
    assert found.divergence(candidate, threads=1) == found.divergence(candidate, threads=3)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="compared"):
        Reference(logits(3, 4, 1)).divergence(logits(3, 5, 1), threads=1)
