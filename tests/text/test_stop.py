from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.errors import ParameterError
from honed.text.stop import StopMatcher

bounded = settings(deadline=None, max_examples=100, derandomize=True)
# Two letters, so that stop strings overlap themselves and each other all the time.
texts = st.text("ab", max_size=30)
stops = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def oracle(text: str, stops: list[str]) -> tuple[str, str | None]:
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


def longest_beginning(text: str, stops: list[str]) -> int:
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)


@bounded
@given(st.lists(texts, max_size=8), stops)
def test_equals_the_oracle_however_the_text_is_cut(pieces: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    found = "".join(matcher.feed(piece) for piece in pieces) + matcher.finish()
    assert (found, matcher.matched) == oracle("".join(pieces), stops)


@bounded
@given(texts, stops)
def test_withholds_exactly_what_may_become_a_stop(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    given_out = ""
    for index, character in enumerate(text):
        given_out += matcher.feed(character)
        if matcher.matched is not None:
            return
        so_far = text[: index + 1]
        assert given_out == so_far[: len(so_far) - longest_beginning(so_far, stops)]


def test_stop_across_three_pieces() -> None:
    matcher = StopMatcher(["</answer>"])
    assert [matcher.feed(piece) for piece in ["4", "2</", "ans", "wer> more"]] == ["4", "2", "", ""]
    assert matcher.matched == "</answer>"
    assert matcher.feed("x") == ""
    assert matcher.finish() == ""


def test_what_only_looked_like_a_stop_is_flushed() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.feed("the EN") == "the "
    assert matcher.finish() == "EN"


def test_empty_stop_is_refused() -> None:
    with pytest.raises(ParameterError, match="stop"):
        StopMatcher(["a", ""])
