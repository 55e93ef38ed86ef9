"""Lower bounds against the tokens themselves, and what a long text costs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.text import prompt_bound
from honed.text.prompt_bound import PromptBound
from honed.text.tokenizer import Tokenizer, encoded
from turn_tokenizers import SAMPLE, byte_level, sentencepiece

bounded = settings(deadline=None, max_examples=80, derandomize=True)


def words() -> FastTokenizer:
    """One token for any unknown word, however long: no bound by bytes."""
    fast = FastTokenizer(models.WordLevel({"<unk>": 0, "the": 1}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return fast


def shrinking() -> FastTokenizer:
    fast = FastTokenizer.from_str(byte_level().to_str())
    fast.normalizer = normalizers.Sequence([normalizers.Replace("brown fox", ""), normalizers.NFC()])
    return fast


def swallowing() -> FastTokenizer:
    fast = FastTokenizer.from_str(byte_level().to_str())
    fast.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False, special=True)])
    return fast


KINDS = {f.__name__: f for f in (byte_level, sentencepiece, words, shrinking, swallowing)}
PIECES = [SAMPLE[:40], "brown fox" * 3, " " * 20, "x" * 30, "ü日本", "\n\n", "<mask>", "1234", "<|im_end|>"]


@pytest.mark.parametrize("kind", KINDS)
@bounded
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=40), room=st.integers(1, 60))
def test_no_text_that_fits_is_found_too_long(kind: str, pieces: list[str], room: int) -> None:
    tokenizer = Tokenizer(KINDS[kind](), frozenset())
    text = "".join(pieces)
    tokens = len(tokenizer.encode(text, add_special=False))
    least = PromptBound(tokenizer).least_tokens(text, room)
    assert least <= max(tokens, room)
    if tokens <= room:
        assert least <= room


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_is_found_too_long(kind: str) -> None:
    bound = PromptBound(Tokenizer(KINDS[kind](), frozenset()))
    assert bound.least_tokens(SAMPLE * 200, 100) > 100
    assert bound.least_tokens("a" * 790, 100) == 0


def test_no_more_of_it_is_encoded_than_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(byte_level(), frozenset())
    lengths: list[int] = []

    def counted(fast: FastTokenizer, text: str) -> Any:
        lengths.append(len(text))
        return encoded(fast, text)

    monkeypatch.setattr(prompt_bound, "encoded", counted)
    bound = PromptBound(tokenizer)
    text = "the " * 2_500_000
    started = time.process_time()
    assert bound.least_tokens(text, 8192) > 8192
    assert time.process_time() - started < 5
    assert sum(lengths) < 2_000_000
    # Here no token is longer than sixteen bytes, so that ten megabytes need no look at them.
    lengths.clear()
    assert PromptBound(Tokenizer(byte_level(), frozenset())).least_tokens(text, 100) > 100
    assert lengths == []
