from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.errors import HonedError
from honed.runtime.request import GREEDY, Sampling
from honed.runtime.sampling import Sampler, candidates

bounded = settings(deadline=None, max_examples=100, derandomize=True)


def random_logits(seed: int, size: int = 1000) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32) * 4


def choices(sampling: Sampling, logits: NDArray[np.float32], count: int) -> list[int]:
    sampler = Sampler(sampling, [], logits.size)
    return [sampler.choose(logits) for _ in range(count)]


def test_greedy_takes_the_lowest_of_equal_maxima() -> None:
    logits = np.array([0, 3, 1, 3, 3], dtype=np.float32)
    assert choices(GREEDY, logits, 3) == [1, 1, 1]


def oracle(logits: NDArray[np.float32], s: Sampling) -> dict[int, float]:
    """The filters in plain Python, one after the other, over exact sorted lists."""
    order = sorted(range(logits.size), key=lambda i: (-logits[i], i))
    if s.top_k:
        order = order[: s.top_k]
    weights = {i: math.exp((float(logits[i]) - float(logits[order[0]])) / s.temperature) for i in order}
    total = math.fsum(weights.values())
    kept: list[int] = []
    mass = 0.0
    for i in order:
        if mass / total >= s.top_p:
            break
        kept.append(i)
        mass += weights[i]
    return {i: weights[i] for i in sorted(kept) if weights[i] >= s.min_p}


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.05, 0.7, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 300, 5000]),
    top_p=st.sampled_from([0.05, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.02, 0.5]),
)


@bounded
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 50, 700]), samplings)
def test_filters_equal_the_oracle(seed: int, size: int, settings: Sampling) -> None:
    logits = random_logits(seed, size)
    # Rounding makes many equal logits, which is where the order of ids counts.
    if seed % 2:
        logits = np.round(logits)
    ids, weights = candidates(logits, settings)
    expected = oracle(logits, settings)
    assert ids.tolist() == list(expected)
    np.testing.assert_allclose(weights, list(expected.values()), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7, top_k=40),
        Sampling(temperature=1.3, top_p=0.9),
        Sampling(top_k=50, top_p=0.8, min_p=0.05, repetition_penalty=1.3),
        Sampling(min_p=0.1, repetition_penalty=0.8),
    ],
)
def test_probabilities_equal_transformers(sampling: Sampling, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from transformers.generation import logits_process as hf

    prompt = [3, 17, 17, 999]
    logits = random_logits(seed)
    steps = [hf.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)]
    steps += [hf.TemperatureLogitsWarper(sampling.temperature)] if sampling.temperature != 1 else []
    steps += [hf.TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    steps += [hf.TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
    steps += [hf.MinPLogitsWarper(sampling.min_p)] if sampling.min_p else []
    scores = torch.tensor(logits)[None]
    for step in steps:
        scores = step(torch.tensor([prompt]), scores)
    expected = torch.softmax(scores[0].double(), 0).numpy()

    counts = np.zeros(logits.size)
    # The whole distribution through the public door: one draw at each of many points of the unit interval.
    points = (np.arange(500) + 0.5) / 500
    for point in points:
        sampler = Sampler(sampling, prompt, logits.size)
        monkeypatch.setattr(sampler, "_uniform", lambda point=point: point)
        counts[sampler.choose(logits)] += 1
    np.testing.assert_allclose(counts / 500, expected, atol=1.5 / 500)


def test_the_seed_alone_decides() -> None:
    logits = random_logits(1)
    settings = Sampling(temperature=1.0, seed=7)
    assert choices(settings, logits, 50) == choices(settings, logits, 50)
    assert choices(settings, logits, 50) != choices(Sampling(temperature=1.0, seed=8), logits, 50)


def test_the_stream_of_a_seed_never_changes() -> None:
    """Written down once: a change here breaks everyone's reproducible outputs."""
    assert choices(Sampling(seed=7), np.zeros(1000, dtype=np.float32), 6) == [872, 295, 420, 405, 82, 696]


def test_without_a_seed_two_requests_differ() -> None:
    logits = np.zeros(1000, dtype=np.float32)
    assert choices(Sampling(), logits, 20) != choices(Sampling(), logits, 20)


def test_frequencies_follow_the_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    counts = np.bincount(choices(Sampling(seed=1), logits, 4000), minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.03)


def test_the_penalty_counts_prompt_and_own_tokens() -> None:
    logits = np.array([2.0, 1.9, 1.8, -5.0], dtype=np.float32)
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0), [0], 4)
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]


def test_the_penalty_makes_negative_logits_smaller() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0), [0], 2)
    assert sampler.choose(np.array([-1.0, -1.5], dtype=np.float32)) == 1


def test_logits_are_not_changed() -> None:
    logits = random_logits(3)
    before = logits.copy()
    choices(Sampling(temperature=0.5, top_k=5, top_p=0.5, repetition_penalty=1.5, seed=1), logits, 3)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=1)])
def test_logits_that_are_not_finite_are_named(value: float, sampling: Sampling) -> None:
    logits = random_logits(4)
    logits[[17, 400]] = value
    with pytest.raises(HonedError, match=rf"2 of 1000 are not finite, the first is {value} for token 17"):
        Sampler(sampling, [], 1000).choose(logits)


def test_a_tiny_temperature_and_huge_logits_stay_greedy() -> None:
    logits = np.array([3e38, -3e38, 2.9e38], dtype=np.float32)
    assert choices(Sampling(temperature=1e-30, top_p=0.5, min_p=0.1, seed=1), logits, 5) == [0] * 5
