"""Splits against transformers' patterns run by another regex engine, and against splitters built into the library."""

from __future__ import annotations

from itertools import pairwise

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from honed.checkpoints.gguf.pretokenizers import SPLITTINGS

TEXTS = (
    "Hello, world! It's 12345 o'clock; we'LL see: 3.14159 and 1,000,000.",
    "def f(x):\n\treturn x**2  # squared\n\n\n    if x == 10: pass\r\n",
    "   leading, trailing   \n \n  ",
    "naïve café Ünïcödé 你好世界 こんにちは Привет мир १२३ ٣٤٥ ½ ² Ⅷ",
    "emoji 👩‍👩‍👧 🇩🇪 and\u00a0nbsp\u2003em\u200bzero-width a\u0301 e\u0308",
    "don't you're I'd we've THEY'RE 'Tis rock'n'roll",
    '$100 + 200€ = ^~|<tag>="v"</tag> {}[]()!!!???...',
    "a  1   22    333     4444",
    "",
)


def split(name: str, text: str) -> list[str]:
    """The pieces as text, put back from the byte alphabet by their places."""
    splitting = SPLITTINGS[name]
    found = splitting.pre_tokenizer().pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in found]


def by_patterns(patterns: list[str], text: str) -> list[str]:
    pieces = [text]
    for pattern in patterns:
        cut: list[str] = []
        for piece in pieces:
            places = {0, len(piece)} | {at for match in regex.finditer(pattern, piece) for at in match.span()}
            cut += [piece[start:end] for start, end in pairwise(sorted(places))]
        pieces = cut
    return pieces


# As they stand in the tokenizer.json of Mistral-Nemo, and in the definition of o200k_base.
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(("name", "pattern"), [("tekken", TEKKEN), ("gpt-4o", O200K)])
@settings(deadline=None, max_examples=100, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=("Cn", "Co")), max_size=40))
def test_words_that_are_cut_where_the_case_changes(name: str, pattern: str, text: str) -> None:
    for sample in (*TEXTS, text, f"camelCase HTTPServer {text}"):
        assert split(name, sample) == by_patterns([pattern], sample)


def test_tekken() -> None:
    assert split("tekken", "HelloWorld it's HTTP/2\n 12") == (
        ["Hello", "World", " it", "'s", " HTTP", "/", "2", "\n", " ", "1", "2"]
    )
    assert SPLITTINGS["tekken"].whole_words
    assert SPLITTINGS["tekken"].begins


def patterns_of_transformers(name: str) -> list[str]:
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from transformers.models.qwen2 import tokenization_qwen2

    return [tokenization_qwen2.PRETOKENIZE_REGEX if name == "qwen2" else TikTokenConverter().pattern]


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe"])
def test_against_the_patterns_of_transformers(name: str) -> None:
    patterns = patterns_of_transformers(name)
    for text in TEXTS:
        assert split(name, text) == by_patterns(patterns, text)


BUILT_IN = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_against_the_splitters_of_the_library(name: str) -> None:
    ours = SPLITTINGS[name].pre_tokenizer()
    for text in TEXTS:
        assert ours.pre_tokenize_str(text) == BUILT_IN[name].pre_tokenize_str(text)


@pytest.mark.parametrize("name", BUILT_IN)
@settings(deadline=None, max_examples=100, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_against_the_splitters_of_the_library(name: str, text: str) -> None:
    ours = SPLITTINGS[name].pre_tokenizer()
    assert ours.pre_tokenize_str(text) == BUILT_IN[name].pre_tokenize_str(text)


def test_files_without_a_name() -> None:
    """Punctuation first, then the words of GPT-2, then numbers, then threes of digits, as llama.cpp does it."""
    assert split("default", "a==b 12345 c's") == ["a", "==", "b", " ", "123", "45", " c", "'", "s"]
    patterns = [
        r"[\p{P}\$\+<=>\^~\|]+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
        r"\p{N}+",
        r"[0-9][0-9][0-9]",
    ]
    for text in TEXTS:
        assert split("default", text) == by_patterns(patterns, text)


@pytest.mark.parametrize("name", SPLITTINGS)
def test_nothing_is_lost(name: str) -> None:
    for text in TEXTS:
        assert "".join(split(name, text)) == text


def test_digits() -> None:
    assert split("smollm", "a 1234") == ["a", " ", "1", "2", "3", "4"]
    assert split("qwen2", "a 1234") == ["a", " ", "1", "2", "3", "4"]
    assert split("llama-bpe", "a 1234") == ["a", " ", "123", "4"]
    assert split("gpt-2", "a 1234") == ["a", " 1234"]
