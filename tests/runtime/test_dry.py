from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime import dry
from honed.runtime.dry import Dry
from honed.runtime.request import Sampling
from honed.runtime.sampling import Sampler


def penalties(state: Dry) -> dict[int, float]:
    fields: dict[str, object] = {}
    state.fill(fields)
    return dict(fields["dry"])  # type: ignore[call-overload, no-any-return]


def oracle(tokens: list[int], sampling: Sampling) -> dict[int, float]:
    """For each token that could follow, the longest end of the text that stood before it: by looking everywhere."""
    if sampling.dry_range:
        tokens = tokens[-sampling.dry_range :]
    best: dict[int, int] = {}
    for place in range(len(tokens) - 1):
        length = 0
        while length <= place and tokens[place - length] == tokens[len(tokens) - 1 - length]:
            if tokens[place - length] in sampling.dry_breakers:
                break
            length += 1
        follower = tokens[place + 1]
        if length >= sampling.dry_allowed_length and follower not in sampling.dry_breakers:
            best[follower] = max(best.get(follower, 0), length)
    return {
        token: sampling.dry_multiplier * sampling.dry_base ** (length - sampling.dry_allowed_length)
        for token, length in best.items()
    }


samplings = st.builds(
    Sampling,
    dry_multiplier=st.sampled_from([0.8, 3.0]),
    dry_base=st.sampled_from([1.0, 1.75]),
    dry_allowed_length=st.integers(1, 7),
    dry_range=st.sampled_from([0, 1, 5, 20]),
    dry_breakers=st.sampled_from([(), (0,), (0, 2)]),
)
texts = st.lists(st.integers(0, 3), max_size=60)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(samplings, texts, texts)
def test_penalties_are_those_of_the_definition(sampling: Sampling, prompt: list[int], reply: list[int]) -> None:
    state = Dry(sampling, prompt)
    assert penalties(state) == pytest.approx(oracle(prompt, sampling), rel=1e-12)
    for length, token in enumerate(reply):
        state.push(token)
        if length % 2:
            state.settle()
        assert penalties(state) == pytest.approx(oracle([*prompt, *reply[: length + 1]], sampling), rel=1e-12)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(samplings, texts, texts, texts)
def test_what_was_pushed_can_be_taken_back(
    sampling: Sampling, prompt: list[int], wrong: list[int], right: list[int]
) -> None:
    state = Dry(sampling, prompt)
    for token in wrong:
        state.push(token)
    for _ in wrong:
        state.pop()
    for token in right:
        state.push(token)
    straight = Dry(sampling, prompt)
    for token in right:
        straight.push(token)
        straight.settle()
    assert penalties(state) == penalties(straight)


def test_of_many_places_the_latest_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry, "_PLACES", 3)
    text = [token for follower in range(10, 20) for token in (1, 2, follower)] + [1, 2]
    expected = {17: 0.8, 18: 0.8, 19: 0.8}
    assert penalties(Dry(Sampling(dry_multiplier=0.8), text)) == expected
    state = Dry(Sampling(dry_multiplier=0.8), text[:-1])
    state.push(2)
    assert penalties(state) == expected


def test_a_long_repetition_stays_within_what_a_logit_holds() -> None:
    found = penalties(Dry(Sampling(dry_multiplier=1.0), [5] * 5000))
    assert found == {5: 1e30}
    assert np.isfinite(np.float32(found[5]))


def test_a_repetition_is_not_carried_on() -> None:
    logits = np.zeros(10, dtype=np.float32)
    logits[3] = 1.0
    plain = Sampler(Sampling(temperature=0), [1, 2, 3, 7, 1, 2])
    kept = Sampler(Sampling(temperature=0, dry_multiplier=2.0), [1, 2, 3, 7, 1, 2])
    assert (plain.choose(logits), kept.choose(logits)) == (3, 0)
