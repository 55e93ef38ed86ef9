"""Texts as encoders read them: what stands around them, types and spans, and where they are cut."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from honed.errors import ParameterError, UnsupportedError
from honed.text.encoder_input import EncoderInput, EncoderTexts
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
