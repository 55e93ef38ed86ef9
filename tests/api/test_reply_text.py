from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models
from tokenizers import Tokenizer as FastTokenizer

from honed.api.reply_text import ReplyText, TextOptions
from honed.api.shown_tokens import ShownTokens
from honed.errors import ParameterError
from honed.text.decoding import Decoding

# "😀" is the four byte tokens 3 to 6; 7 and 8 are control tokens.
VOCABULARY = {token: i for i, token in enumerate(["a", "b", "Ġ", "ð", "Ł", "ĺ", "Ģ"])}


def decoding() -> Decoding:
    fast = FastTokenizer(models.BPE(VOCABULARY, []))
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken("<end>", special=True), AddedToken("<call>", special=True)])
    return Decoding.of(fast)


def run(made: ReplyText, tokens: list[int]) -> list[str]:
    pieces = []
    for token in tokens:
        pieces.append(made.feed(token))
        if made.matched is not None:
            return pieces
    return [*pieces, made.finish()]


def test_a_stop_string_may_be_part_of_the_text() -> None:
    for include, text in ((False, "a"), (True, "ab b")):
        made = ReplyText(decoding(), TextOptions(("b b",), include_stop=include))
        assert "".join(run(made, [0, 1, 2, 1, 0])) == text
        assert made.matched == "b b"
        assert made.shown == len(text)


def test_a_stop_string_counts_behind_the_least_tokens() -> None:
    made = ReplyText(decoding(), TextOptions(("b",), min_tokens=3))
    assert run(made, [0, 1, 1, 0, 1, 0]) == ["a", "b", "b", "a", ""]


def test_control_tokens_are_hidden_unless_they_are_to_be_seen() -> None:
    tokens = [0, 7, 8, 1]
    assert "".join(run(ReplyText(decoding()), tokens)) == "ab"
    assert "".join(run(ReplyText(decoding(), TextOptions(visible=frozenset({8}))), tokens)) == "a<call>b"
    assert "".join(run(ReplyText(decoding(), TextOptions(skip_special=False)), tokens)) == "a<end><call>b"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ParameterError, match="must not be empty"):
        ReplyText(decoding(), TextOptions(("",)))


def test_within_a_character() -> None:
    made = ReplyText(decoding())
    assert [(made.feed(token), made.within_character) for token in (0, 3, 4, 5, 6)] == [
        ("a", False), ("", True), ("", True), ("", True), ("😀", False),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 8)), st.lists(st.sampled_from(["ab", "b ", "a", "😀", "\ufffd", "<end>"])))
def test_what_is_shown_is_the_text_and_never_more_than_was_decoded(tokens: list[int], stops: list[str]) -> None:
    made = ReplyText(decoding(), TextOptions(tuple(stops)))
    text = "".join(run(made, tokens))
    assert made.shown == len(text) <= made.decoded
    plain = "".join(run(ReplyText(decoding()), tokens))
    assert plain.startswith(text)
    assert (text == plain) or made.matched in stops


def test_tokens_as_they_are_shown_alone() -> None:
    shown = ShownTokens(decoding())
    assert [shown[token] for token in (0, 2, 3, 7, 99)] == [
        ("a", b"a"), (" ", b" "), ("\ufffd", b"\xf0"), ("<end>", b"<end>"), ("", b""),
    ]  # fmt: skip
    assert shown[3] is shown[3]
