from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from honed.evaluate.bootstrap import BlockBootstrap, Resampling, draw_blocks


def correlated(windows: int, tokens: int, seed: int, phi: float) -> NDArray[np.float64]:
    """A stationary autoregressive series of mean 0 and variance 1."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((windows, tokens)) * np.sqrt(1 - phi * phi)
    series = np.empty((windows, tokens))
    series[:, 0] = generator.standard_normal(windows)
    for i in range(1, tokens):
        series[:, i] = phi * series[:, i - 1] + noise[:, i]
    return series


def test_blocks_cover_every_token_once_and_stay_in_their_window() -> None:
    draws, blocks = draw_blocks(3, 100, Resampling(block_tokens=32, resamples=7))
    assert sorted(i for block in blocks for i in range(block.start, block.stop)) == list(range(300))
    assert all(block.start // 100 == (block.stop - 1) // 100 for block in blocks)
    assert draws.shape == (7, len(blocks)) == (7, 12)
    assert draws.min() >= 0
    assert draws.max() < len(blocks)


@pytest.mark.parametrize(("windows", "tokens", "block"), [(8, 512, 128), (1, 512, 32), (1, 128, 8), (1, 5, 1)])
def test_small_texts_get_shorter_blocks_and_so_an_interval_with_a_width(windows: int, tokens: int, block: int) -> None:
    resampling = Resampling.of_size(windows, tokens, seed=1)
    assert (resampling.block_tokens, resampling.seed) == (block, 1)
    scores = np.random.default_rng(0).standard_normal((windows, tokens))
    estimate = BlockBootstrap(windows, tokens, resampling).mean(scores)
    assert estimate.low < estimate.value < estimate.high


def test_same_seed_same_interval() -> None:
    scores = correlated(4, 256, 1, 0.5)
    first = BlockBootstrap(4, 256, Resampling(seed=3))
    again = BlockBootstrap(4, 256, Resampling(seed=3))
    other = BlockBootstrap(4, 256, Resampling(seed=4))
    assert first.mean(scores) == again.mean(scores)
    assert first.quantile(scores, 0.9) == again.quantile(scores, 0.9)
    assert first.mean(scores) != other.mean(scores)


def test_value_is_the_plain_statistic_and_lies_inside() -> None:
    scores = correlated(4, 250, 2, 0.5)
    bootstrap = BlockBootstrap(4, 250, Resampling())
    mean = bootstrap.mean(scores)
    assert mean.value == scores.mean()
    assert mean.low < mean.value < mean.high
    quantile = bootstrap.quantile(scores, 0.99)
    assert quantile.value == np.quantile(scores, 0.99)
    assert quantile.low < quantile.value < quantile.high
    transformed = bootstrap.mean(scores, np.exp)
    np.testing.assert_allclose([transformed.value, transformed.low], np.exp([mean.value, mean.low]), rtol=1e-3)


def test_constant_scores_have_an_interval_of_no_width() -> None:
    estimate = BlockBootstrap(2, 64, Resampling()).mean(np.full((2, 64), 0.25))
    assert (estimate.value, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_interval_covers_the_mean_of_a_correlated_series() -> None:
    """Resampling single tokens would cover the true mean far too seldom; blocks come near to 95 %."""

    def coverage(block_tokens: int) -> float:
        settings = Resampling(block_tokens=block_tokens, resamples=300)
        hits = 0
        for seed in range(100):
            estimate = BlockBootstrap(8, 512, settings).mean(correlated(8, 512, seed, 0.9))
            hits += estimate.low <= 0 <= estimate.high
        return hits / 100

    assert coverage(128) >= 0.88
    assert coverage(1) < 0.6


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_width_follows_the_central_limit_theorem(confidence: float) -> None:
    scores = np.random.default_rng(5).standard_normal((8, 512))
    estimate = BlockBootstrap(8, 512, Resampling(block_tokens=16, confidence=confidence)).mean(scores)
    expected = {0.5: 0.6745, 0.95: 1.96}[confidence] * 2 / np.sqrt(scores.size)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.2)
