from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from honed.backends.base import RowChoice
from honed.errors import HonedError, ParameterError
from honed.runtime.filters import candidates
from honed.runtime.request import GREEDY, Sampling
from honed.runtime.sampling import Sampler, choose_row

bounded = settings(deadline=None, max_examples=100, derandomize=True)


def random_logits(seed: int, size: int = 1000) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32) * 4


def choices(sampling: Sampling, logits: NDArray[np.float32], count: int) -> list[int]:
    sampler = Sampler(sampling, [])
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
def test_probabilities_equal_transformers(sampling: Sampling, seed: int) -> None:
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
        row = replace(Sampler(sampling, prompt).row(), uniform=point)
        counts[choose_row(logits, row).token] += 1
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
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0), [0])
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]


def test_the_penalty_makes_negative_logits_smaller() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0), [0])
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
        Sampler(sampling, []).choose(logits)


def test_the_scope_of_the_penalty_is_prompt_and_reply_or_the_reply_alone() -> None:
    logits = np.array([1.0, 0.9, 0.8, -0.1], dtype=np.float32)
    chosen = {}
    for scope in ("all", "reply"):
        sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0, repetition_scope=scope), [0])
        chosen[scope] = [sampler.choose(logits) for _ in range(3)]
    assert chosen == {"all": [1, 2, 0], "reply": [0, 1, 2]}
    with pytest.raises(ParameterError, match="repetition_scope = 'prompt': must be one of all, reply"):
        Sampling(repetition_scope="prompt")  # type: ignore[arg-type]


def test_a_tiny_temperature_and_huge_logits_stay_greedy() -> None:
    logits = np.array([3e38, -3e38, 2.9e38], dtype=np.float32)
    assert choices(Sampling(temperature=1e-30, top_p=0.5, min_p=0.1, seed=1), logits, 5) == [0] * 5


def naive(logits: NDArray[np.float32], s: Sampling, prompt: list[int], reply: list[int]) -> list[float]:
    """Logits after bias and penalties, a token at a time."""
    changed = [float(logit) for logit in logits]
    for token, value in s.logit_bias:
        changed[token] += value
    for token in {*prompt, *reply} if s.repetition_scope == "all" else {*reply}:
        changed[token] *= 1 / s.repetition_penalty if changed[token] > 0 else s.repetition_penalty
    for token in reply:
        changed[token] -= s.frequency_penalty
    for token in set(reply):
        changed[token] -= s.presence_penalty
    return changed


penalized = st.builds(
    Sampling,
    temperature=st.just(0),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    repetition_scope=st.sampled_from(["all", "reply"]),
    presence_penalty=st.sampled_from([0.0, 0.6, -1.0]),
    frequency_penalty=st.sampled_from([0.0, 0.3, -0.4]),
    logit_bias=st.sampled_from([(), ((3, 5.0), (8, -100.0))]),
)


@bounded
@given(st.integers(0, 2**32), penalized, st.lists(st.integers(0, 9), max_size=12))
def test_penalties_change_the_logits_as_they_are_defined(seed: int, settings: Sampling, prompt: list[int]) -> None:
    logits = random_logits(seed, 10)
    sampler = Sampler(settings, prompt)
    reply: list[int] = []
    for _ in range(8):
        expected = naive(logits, settings, prompt, reply)
        reply.append(sampler.choose(logits))
        assert expected[reply[-1]] == pytest.approx(max(expected), abs=1e-5)


everything = Sampling(
    temperature=0.9, top_p=0.9, repetition_penalty=1.2, presence_penalty=0.5, frequency_penalty=0.2, dry_multiplier=0.8,
    logit_bias=((1, 3.0),), logprobs=2, seed=4,
)  # fmt: skip


@bounded
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6), st.lists(st.integers(0, 4), max_size=10))
def test_a_row_ahead_is_the_row_of_that_place(proposals: list[list[int]], reply: list[int]) -> None:
    """Whatever was asked for before: right proposals, wrong ones, or none."""
    sampler, plain = Sampler(everything, [1, 2, 3, 1, 2]), Sampler(everything, [1, 2, 3, 1, 2])
    for place in range(len(reply) + 1):
        for proposal in proposals[place : place + 1]:
            for length in range(len(proposal) + 1):
                sampler.row(proposal[:length])
        ahead = reply[place : place + 3]
        rows = [sampler.row(ahead[:length]) for length in range(len(ahead) + 1)]
        assert rows[0] == plain.row()
        straight = Sampler(everything, [1, 2, 3, 1, 2])
        for token in [*reply[:place], *ahead]:
            straight.take(token)
        assert rows[-1].uniform == straight.row().uniform
        assert dict(rows[-1].counts) == dict(straight.row().counts)
        assert dict(rows[-1].dry) == dict(straight.row().dry)
        assert set(rows[-1].seen) == set(straight.row().seen)
        for token in reply[place : place + 1]:
            sampler.take(token)
            plain.take(token)


def test_a_mask_and_bans_leave_the_others() -> None:
    logits = np.arange(70, dtype=np.float32)
    mask = np.array([0, 0b1101, 0], dtype=np.uint32)
    sampler = Sampler(GREEDY, [])
    assert choose_row(logits, sampler.row(mask=mask)).token == 35
    assert choose_row(logits, sampler.row(mask=mask, banned=[35])).token == 34
    assert choose_row(logits, sampler.row(mask=mask[:1], banned=[35])).token == -1
    assert choose_row(logits, sampler.row(banned=[69])).token == 68
    rows = [RowChoice(mask=mask, temperature=2.0, uniform=step / 20) for step in range(20)]
    assert {choose_row(logits, row).token for row in rows} == {32, 34, 35}


def test_logprobs_are_of_the_logits_as_they_were() -> None:
    logits = np.array([2.0, 5.0, 5.0, -1.0], dtype=np.float32)
    settings = Sampling(temperature=0, logit_bias=((0, 90.0),), logprobs=3)
    choice = choose_row(logits, Sampler(settings, []).row())
    expected = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    assert choice.token == 0
    assert choice.logprobs is not None
    assert (choice.logprobs.rank, [token for token, _ in choice.logprobs.top]) == (2, [1, 2, 0])
    assert choice.logprobs.logprob == dict(choice.logprobs.top)[0] == pytest.approx(expected[0], rel=1e-14)
    scored = choose_row(logits, RowChoice(score=3))
    assert scored.logprobs is not None
    assert (scored.token, scored.logprobs.top, scored.logprobs.rank) == (3, (), 3)
    assert scored.logprobs.logprob == pytest.approx(expected[3], rel=1e-14)


def test_a_plain_greedy_row_is_made_once() -> None:
    sampler = Sampler(GREEDY, [1])
    assert sampler.row() is sampler.row([4, 5])
    assert sampler.row() == RowChoice()
