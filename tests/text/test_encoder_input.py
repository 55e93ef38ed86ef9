"""Texts as encoders read them: what stands around them, types and spans, and where they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from honed.errors import ParameterError, UnsupportedError
from honed.text.encoder_input import EncoderInput, EncoderTexts, TextWindow
from honed.text.tokenizer import Tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "un", "##believ", "##able"]


def wordpiece() -> FastTokenizer:
    fast = FastTokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=False)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return fast


def texts(limit: int = 16, *, lowercase: bool = False) -> EncoderTexts:
    return EncoderTexts(Tokenizer(fast=wordpiece(), end_tokens=frozenset()), limit, lowercase=lowercase)


def test_a_text_between_what_stands_around_it() -> None:
    assert texts().encode("a unbelievable b") == EncoderInput(
        tokens=(2, 4, 7, 8, 9, 5, 3),
        types=(0,) * 7,
        spans=(None, (0, 1), (2, 4), (4, 10), (10, 14), (15, 16), None),
        dropped=0,
    )


def test_nothing_at_all() -> None:
    assert texts().encode("").tokens == (2, 3)


def test_a_pair_has_types() -> None:
    found = texts().encode_pair("a b", "c")
    assert found.tokens == (2, 4, 5, 3, 6, 3)
    assert found.types == (0, 0, 0, 0, 1, 1)
    assert found.spans == (None, (0, 1), (2, 3), None, (0, 1), None)


def test_roberta_puts_more_between_and_has_no_types() -> None:
    fast = FastTokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "b": 4}, unk_token="<pad>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    found = EncoderTexts(Tokenizer(fast=fast, end_tokens=frozenset()), 16).encode_pair("a b", "b")
    assert (found.tokens, set(found.types)) == ((0, 3, 4, 2, 2, 4, 2), {0})


@pytest.mark.parametrize("limit", [3, 4, 5, 6])
def test_a_long_text_is_cut_and_says_so(limit: int) -> None:
    whole = texts(64).encode("a b c a")
    found = texts(limit).encode("a b c a")
    assert found.tokens == (*whole.tokens[: limit - 1], 3)
    assert found.dropped == 6 - limit


@pytest.mark.parametrize("length", [100, 5_000, 400_000])
def test_a_very_long_text_is_what_its_beginning_is(length: int) -> None:
    words = "a unbelievable b c unknown " * (length // 27)
    found = texts(10).encode(words)
    assert found.tokens == texts(10).encode(words[:200]).tokens
    assert found.dropped > 0


def test_a_very_long_word_is_looked_at_as_a_whole() -> None:
    found = texts(10).encode("x" * 5_000 + " a b")
    assert found.tokens == (2, 1, 4, 5, 3)


def test_long_gaps_between_words_count_for_nothing() -> None:
    assert texts(6).encode(" " * 9_000 + "a" + " " * 9_000 + "b").tokens == (2, 4, 5, 3)


@pytest.mark.parametrize(
    ("first", "second", "tokens", "dropped"),
    [
        ("a a a a", "b", (2, 4, 4, 4, 3, 5, 3), 1),
        ("a", "b b b b b", (2, 4, 3, 5, 5, 5, 3), 2),
        ("a a a a a", "b b b b b", (2, 4, 4, 3, 5, 5, 3), 6),
        ("a a", "b b", (2, 4, 4, 3, 5, 5, 3), 0),
    ],
)
def test_of_a_pair_the_longer_one_is_cut(first: str, second: str, tokens: tuple[int, ...], dropped: int) -> None:
    found = texts(7).encode_pair(first, second)
    assert (found.tokens, found.dropped) == (tokens, dropped)


def test_pairs_are_cut_as_the_library_cuts_them() -> None:
    fast = wordpiece()
    fast.enable_truncation(9, strategy="longest_first")
    for first in range(9):
        for second in range(9):
            one, two = "a " * first, "b " * second
            assert texts(9).encode_pair(one, two).tokens == tuple(fast.encode(one, two).ids)


def test_lower_case() -> None:
    assert texts(lowercase=True).encode("A B").tokens == (2, 4, 5, 3)
    assert texts().encode("A B").tokens == (2, 1, 1, 3)


def test_no_room() -> None:
    with pytest.raises(UnsupportedError, match="puts 2 tokens around a text, and the model takes 2"):
        texts(2)


@pytest.mark.parametrize("text", ["a \ud800", b"a", None, 3])
def test_what_is_no_text(text: object) -> None:
    with pytest.raises(ParameterError, match="text = "):
        texts().encode(text)  # type: ignore[arg-type]


def test_the_text_of_a_pair_that_is_cut_is_the_one_that_is_named() -> None:
    assert texts(8).encode_pair("a b c a b", "c b", "first").tokens == (2, 4, 5, 6, 3, 6, 5, 3)
    assert texts(8).encode_pair("a b", "c b a a", "second").tokens == (2, 4, 5, 3, 6, 5, 4, 3)
    assert texts(8).encode_pair("a b c a b", "c b", "first").dropped == 2
    with pytest.raises(ParameterError, match="no room"):
        texts(8).encode_pair("a", "a b c a b", "first")


def test_a_text_that_fits_is_one_window() -> None:
    (window,) = texts().windows("a  unbelievable", 3)
    whole = texts().encode("a  unbelievable")
    assert (window.tokens, window.types, window.spans) == (whole.tokens, whole.types, whole.spans)
    assert (window.words, window.start, window.own) == ((None, 0, 1, 1, 1, None), 0, (1, 5))
    (empty,) = texts().windows("", 3)
    assert (empty.tokens, empty.own) == ((2, 3), (0, 0))


@given(
    letters=st.lists(st.sampled_from(["a", "b", "c", "un", "unbelievable", "x"]), max_size=40),
    limit=st.integers(5, 14),
    stride=st.integers(0, 8),
    behind=st.booleans(),
)
def test_every_token_of_a_text_is_owned_once(letters: list[str], limit: int, stride: int, behind: bool) -> None:
    text = "  ".join(letters)
    made = texts(limit)
    room = limit - (4 if behind else 2)
    if stride >= room:
        with pytest.raises(ParameterError, match="stride"):
            made.windows_behind("a", text, stride) if behind else made.windows(text, stride)
        return
    windows = made.windows_behind("a", text, stride) if behind else made.windows(text, stride)
    whole = texts(1000).encode(text)
    owned = [
        (window.tokens[row], window.spans[row], window.start + row - (3 if behind else 1))
        for window in windows
        for row in range(*window.own)
    ]
    expected = list(zip(whole.tokens[1:-1], whole.spans[1:-1], range(len(whole.tokens)), strict=False))
    assert owned == expected
    for window in windows:
        assert len(window.tokens) <= limit
        for row in range(*window.own):
            # Nobody else sees more on the shorter side.
            place = window.start + row
            assert _seen(window, place, windows) + 1 >= max(_seen(other, place, windows) for other in windows)


def _seen(window: TextWindow, place: int, windows: list[TextWindow]) -> int:
    """Tokens between one and the nearer edge at which the text is cut; negative outside."""
    count = sum(span is not None for span in window.spans)
    first = next((row for row, span in enumerate(window.spans) if span is not None), 0)
    row = place - window.start - first
    left = row if window is not windows[0] or row < 0 else 10**6
    right = count - 1 - row if window is not windows[-1] or row >= count else 10**6
    return min(left, right)


def test_a_question_stands_before_every_window() -> None:
    windows = texts(9).windows_behind("a b", "c unbelievable b a", 1, most_of_first=1)
    assert [window.tokens[:3] for window in windows] == [(2, 4, 3)] * 2
    assert [window.spans[:3] for window in windows] == [(None, None, None)] * 2
    assert [window.types[3] for window in windows] == [1, 1]
    assert len(texts(9).windows_behind("a", "c unbelievable b a", 1, limit=6)) > 2
    with pytest.raises(ParameterError, match="no room"):
        texts(5).windows_behind("a b c", "a", 0)


def test_lower_case_keeps_every_place() -> None:
    (window,) = texts(lowercase=True).windows("\u0130 A", 0)  # its small letter is two characters
    assert window.spans == (None, (0, 1), (2, 3), None)
    assert window.tokens[2] == 4


@pytest.mark.parametrize("pair", [False, True])
def test_spaces_before_words_are_taken_out_of_spans_once(pair: bool) -> None:
    fast = FastTokenizer(
        models.BPE({"<s>": 0, "</s>": 1, "a": 2, "b": 3, "\u0120": 4, "\u0120a": 5}, [("\u0120", "a")])
    )
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=False)
    made = EncoderTexts(Tokenizer(fast=fast, end_tokens=frozenset()), 32)
    if pair:
        assert made.encode_pair("b", "b ab a").spans[-5:-1] == ((0, 1), (2, 3), (3, 4), (5, 6))
        assert made.windows_behind("b", "b ab a")[0].spans[-5:-1] == ((0, 1), (2, 3), (3, 4), (5, 6))
    else:
        assert made.encode("b ab a").spans[1:-1] == ((0, 1), (2, 3), (3, 4), (5, 6))
        assert made.windows("b ab a")[0].spans[1:-1] == ((0, 1), (2, 3), (3, 4), (5, 6))
