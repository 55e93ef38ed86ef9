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


@bounded
@given(st.lists(st.tuples(st.booleans(), st.text("ab", min_size=1, max_size=6)), max_size=8), stops)
def test_hidden_text_counts_and_is_not_shown(pieces: list[tuple[bool, str]], stops: list[str]) -> None:
    """Against both texts, with and without what is hidden, searched at every character."""
    matcher = StopMatcher(stops)
    found = ""
    for hidden, text in pieces:
        found += matcher.skip(text) if hidden else matcher.feed(text)
    found += matcher.finish()
    full = "".join(text for _, text in pieces)
    shown = [not hidden for hidden, text in pieces for _ in text]
    expected = "".join(c for c, show in zip(full, shown, strict=True) if show)
    matched: set[str] = set()
    for end in range(1, len(full) + 1):
        visible = "".join(c for c, show in zip(full[:end], shown[:end], strict=True) if show)
        cuts = {(len(visible) - sum(shown[end - len(stop) : end])): stop for stop in stops if full[:end].endswith(stop)}
        matched = {stop for stop in stops if full[:end].endswith(stop)}
        if shown[end - 1]:
            also = [stop for stop in stops if visible.endswith(stop)]
            cuts |= {len(visible) - len(stop): stop for stop in also}
            matched |= set(also)
        if cuts:
            expected = visible[: min(cuts)]
            break
    assert found == expected
    assert (matcher.matched in matched) if matched else matcher.matched is None


def test_a_stop_string_that_is_a_hidden_token_or_goes_over_it() -> None:
    for stop, shown in (("<end>", "ab"), ("b<end>", "a"), ("end>\nc", "ab"), ("b<end>\n", "a"), ("nd>", "ab")):
        matcher = StopMatcher([stop])
        given_out = matcher.feed("ab") + matcher.skip("<end>") + matcher.feed("\ncd") + matcher.finish()
        assert given_out == shown, stop
        assert matcher.matched == stop


def test_what_is_withheld_over_a_hidden_token() -> None:
    """Shown at once where no stop string can have begun in it."""
    matcher = StopMatcher(["x<end>y"])
    assert [matcher.feed("wx"), matcher.skip("<end>"), matcher.feed("z"), matcher.feed("x")] == ["w", "", "xz", ""]
    assert matcher.finish() == "x"
