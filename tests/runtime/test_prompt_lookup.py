from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from honed.runtime.acceptance import Acceptance
from honed.runtime.prompt_lookup import PromptLookup


def looked_up(prompt: list[int], reply: list[int] | None = None) -> PromptLookup:
    tokens = list(prompt)
    lookup = PromptLookup(tokens, len(prompt), Acceptance())
    lookup.advance()
    for token in reply or []:
        tokens.append(token)
        lookup.advance()
    return lookup


def test_a_repeated_text_is_guessed_on() -> None:
    lookup = looked_up([1, 2, 3, 4, 5, 9, 2, 3])
    assert lookup.guess(3) == [4, 5, 9]


def test_the_longest_agreement_is_taken_and_the_latest_among_equals() -> None:
    assert looked_up([7, 1, 2, 50, 8, 1, 2, 60, 7, 1, 2]).guess(1) == [50]
    assert looked_up([7, 1, 2, 50, 7, 1, 2, 60, 7, 1, 2]).guess(1) == [60]


def test_the_end_repeats_itself() -> None:
    assert looked_up([5, 1, 2, 1, 2]).guess(5) == [1, 2, 1, 2, 1]
    assert looked_up([5, 3, 3, 3]).guess(4) == [3, 3, 3, 3]


def test_without_two_tokens_that_stood_before_there_is_no_guess() -> None:
    for prompt in ([1], [1, 2], [1, 2, 3, 1, 3], [1, 1]):
        tokens = list(prompt)
        assert not PromptLookup(tokens, len(prompt), Acceptance()).advance()


def test_a_guess_that_came_true_is_followed_and_one_that_did_not_is_looked_up_anew() -> None:
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 4, 9, 10, 11, 1, 2]
    assert looked_up(prompt, [3]).guess(2) == [4, 5]
    assert looked_up(prompt, [3, 8, 4]).guess(2) == [9, 10]


def test_what_came_true_is_learned_without_proposing() -> None:
    prior = Acceptance()
    before = prior.rate(2)
    tokens = [1, 2, 3, 4, 1, 2]
    lookup = PromptLookup(tokens, len(tokens), prior)
    assert lookup.advance()
    tokens.append(3)
    lookup.advance()
    assert prior.rate(2) > before
    assert lookup.acceptance.rate(2) > prior.rate(2)


def test_rates_descend_and_end_at_the_least() -> None:
    lookup = looked_up([*range(40), *range(20)])
    rates = lookup.rates(15, 0.0)
    assert len(rates) == 15
    assert all(a > b for a, b in pairwise(rates))
    assert lookup.rates(15, rates[3]) == rates[:4]
    assert lookup.rates(0, 0.0) == []


def test_a_long_prompt_is_indexed_over_several_calls() -> None:
    tokens = [*range(5000), 10, 11]
    lookup = PromptLookup(tokens, len(tokens), Acceptance())
    assert [lookup.advance() for _ in range(3)] == [False, False, True]
    assert lookup.guess(2) == [12, 13]


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=20),
)
def test_guesses_stood_before_after_the_same_tokens(prompt: list[int], replies: list[list[int]]) -> None:
    tokens = list(prompt)
    lookup = PromptLookup(tokens, len(prompt), Acceptance())
    for reply in [[], *replies]:
        tokens += reply
        found = lookup.advance()
        pairs = list(pairwise(tokens))
        assert found == (len(tokens) > 2 and pairs[-1] in pairs[:-1])
        if found:
            guess = lookup.guess(20)
            extended = tokens + guess
            starts = [i for i in range(2, len(tokens)) if extended[i : i + 20] == guess]
            assert any(tokens[i - 2 : i] == tokens[-2:] for i in starts)
