"""Tokenizers of GGUF files against plain definitions of both kinds of BPE; the demo model's against transformers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, trainers

from gguf_builder import RawFile, pair
from honed.checkpoints.gguf.checkpoint import GgufCheckpoint
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.gguf.metadata import Metadata
from honed.checkpoints.gguf.tokenizer import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    _merges_of_scores,
    read_tokenizer,
)
from honed.errors import FormatError, UnsupportedError
from honed.text.tokenizer import Tokenizer

SAMPLE = (
    "The quick brown fox jumps over the lazy dog, and then the other dogs there bark at the fox. "
    "Der schnelle braune Fuchs springt über den faulen Hund. 12 23 123 1234 2023 def f(x): return x + 1\n"
) * 4
TEXTS = (
    "The quick brown fox",
    " leading and   runs of    spaces  ",
    "numbers 1 22 333 4444 12345678",
    "naïve café 你好 🙂 \u00a0 a\u0301\n\n\ttabs\r\n",
    "def f(x):\n    return x == 1 and 'y'",
    "",
    "\0\x01\x7f",
)
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def tokenizer_from(pairs: Sequence[bytes]) -> Tokenizer:
    data = RawFile(list(pairs)).bytes()
    return read_tokenizer(parse_header(memoryview(data), Path("t.gguf")).metadata)


def keys(tokens: list[str], types: list[int], *, model: str, **more: bytes) -> list[bytes]:
    """The pairs of a tokenizer; `more` are whole pairs, whatever they are called."""
    return [
        pair("tokenizer.ggml.model", 8, model),
        pair("tokenizer.ggml.tokens", 9, (8, tokens)),
        pair("tokenizer.ggml.token_type", 9, (5, types)),
        *more.values(),
    ]


@dataclass(frozen=True)
class Vocabulary:
    tokens: list[str]
    merges: list[tuple[str, str]]


@pytest.fixture(scope="module")
def byte_level() -> Vocabulary:
    """Trained on the sample with the library's own trainer; the last two are a control and a user-defined token."""
    trained = FastTokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator([SAMPLE], trainer)
    vocabulary: dict[str, int] = trained.get_vocab()
    merges = [tuple(merge) for merge in json.loads(trained.to_str())["model"]["merges"]]
    tokens = [*sorted(vocabulary, key=lambda token: vocabulary[token]), "<|im_end|>", "<tool>"]
    return Vocabulary(tokens, merges)


def byte_level_keys(vocabulary: Vocabulary, pre: str = "gpt-2", **more: bytes) -> list[bytes]:
    types = [NORMAL] * (len(vocabulary.tokens) - 2) + [CONTROL, USER_DEFINED]
    merges = [f"{left} {right}" for left, right in vocabulary.merges]
    return keys(
        vocabulary.tokens,
        types,
        model="gpt2",
        pre=pair("tokenizer.ggml.pre", 8, pre),
        merges=pair("tokenizer.ggml.merges", 9, (8, merges)),
        **more,
    )


def merge_by_rank(symbols: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """The definition: of all neighbours merge the pair that is first in the list, leftmost first, until none is."""
    rank = {merge: index for index, merge in enumerate(merges)}
    while True:
        found = [(rank[two], at) for at, two in enumerate(pairwise(symbols)) if two in rank]
        if not found:
            return symbols
        at = min(found)[1]
        symbols = [*symbols[:at], symbols[at] + symbols[at + 1], *symbols[at + 2 :]]


def expected_byte_level(vocabulary: Vocabulary, text: str) -> list[int]:
    words = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    return [ids[symbol] for word, _ in words for symbol in merge_by_rank(list(word), vocabulary.merges)]


def test_byte_level_against_the_definition(byte_level: Vocabulary) -> None:
    tokenizer = tokenizer_from(byte_level_keys(byte_level))
    for text in (*TEXTS, SAMPLE[:300]):
        ids = tokenizer.encode(text)
        assert ids == expected_byte_level(byte_level, text)
        assert tokenizer.decode(ids) == text


@settings(deadline=None, max_examples=80, derandomize=True)
@given(text=ANY_TEXT)
def test_byte_level_of_any_text(byte_level: Vocabulary, text: str) -> None:
    tokenizer = tokenizer_from(byte_level_keys(byte_level))
    ids = tokenizer.encode(text)
    assert ids == expected_byte_level(byte_level, text)
    assert tokenizer.decode(ids) == text


def test_special_tokens(byte_level: Vocabulary) -> None:
    end, tool = len(byte_level.tokens) - 2, len(byte_level.tokens) - 1
    tokenizer = tokenizer_from(
        byte_level_keys(
            byte_level,
            bos=pair("tokenizer.ggml.bos_token_id", 4, 5),
            eos=pair("tokenizer.ggml.eos_token_id", 4, 7),
            pad=pair("tokenizer.ggml.padding_token_id", 4, 2**32 - 1),
            template=pair("tokenizer.chat_template", 8, "{{ messages }}"),
        )
    )
    assert tokenizer.end_tokens == {7, end}  # the end of a turn counts although only eos is named
    assert (tokenizer.begin_token, tokenizer.adds_begin_token) == (5, False)
    assert tokenizer.chat_template == "{{ messages }}"
    assert tokenizer.special_tokens == {"bos_token": byte_level.tokens[5], "eos_token": byte_level.tokens[7]}
    ids = tokenizer.encode("the<|im_end|>dog<tool>")
    assert end in ids
    assert tool in ids
    assert tokenizer.decode(ids) == "thedog<tool>"
    assert tokenizer.decode(ids, skip_special=False) == "the<|im_end|>dog<tool>"
    assert tokenizer.size == len(byte_level.tokens)


def test_begin_token_of_the_llama_3_splitting(byte_level: Vocabulary) -> None:
    begin = pair("tokenizer.ggml.bos_token_id", 4, 5)
    assert tokenizer_from(byte_level_keys(byte_level, "llama-bpe", begin=begin)).encode("the")[0] == 5
    stated = pair("tokenizer.ggml.add_bos_token", 7, 0)
    silent = tokenizer_from(byte_level_keys(byte_level, "llama-bpe", begin=begin, stated=stated))
    assert silent.encode("the")[0] != 5


def test_whole_words_come_before_merges(byte_level: Vocabulary) -> None:
    """Llama 3 has tokens that its merges do not reach."""
    wider = Vocabulary([*byte_level.tokens[:-2], "Ġzyzzyva", *byte_level.tokens[-2:]], byte_level.merges)
    assert tokenizer_from(byte_level_keys(wider, "llama-bpe")).encode(" zyzzyva") == [len(wider.tokens) - 3]
    assert len(tokenizer_from(byte_level_keys(wider, "gpt-2")).encode(" zyzzyva")) > 1


@dataclass(frozen=True)
class Pieces:
    tokens: list[str]
    types: list[int]
    scores: list[float]


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    """A SentencePiece vocabulary as Llama has it: control tokens, bytes, merged pieces by score, characters last."""
    trained = FastTokenizer(models.BPE())
    trained.train_from_iterator(
        [word for word in SAMPLE.replace(" ", " ▁").split(" ") if word],
        trainers.BpeTrainer(vocab_size=300, show_progress=False),
    )
    vocabulary: dict[str, int] = trained.get_vocab()
    ordered = sorted((token for token in vocabulary if "\n" not in token), key=lambda token: vocabulary[token])
    merged = [token for token in ordered if len(token) > 1] + ["▁▁", "▁▁▁▁"]
    single = [token for token in ordered if len(token) == 1]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *merged, *single]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(merged) + len(single))]
    scores = [0.0] * 259 + [-float(index) for index in range(len(merged))] + [-1000.0 - i for i in range(len(single))]
    return Pieces(tokens, types, scores)


def piece_keys(pieces: Pieces, **more: bytes) -> list[bytes]:
    return keys(
        pieces.tokens,
        pieces.types,
        model="llama",
        scores=pair("tokenizer.ggml.scores", 9, (6, pieces.scores)),
        bos=pair("tokenizer.ggml.bos_token_id", 4, 1),
        eos=pair("tokenizer.ggml.eos_token_id", 4, 2),
        unk=pair("tokenizer.ggml.unknown_token_id", 4, 0),
        **more,
    )


def expected_pieces(pieces: Pieces, text: str, *, prefix: bool) -> list[int]:
    """The definition: merge the neighbours whose piece scores highest, leftmost first; then bytes for what is left."""
    normal = {
        token: index
        for index, (token, kind) in enumerate(zip(pieces.tokens, pieces.types, strict=True))
        if kind == NORMAL
    }
    symbols = list(("▁" if prefix and text else "") + text.replace(" ", "▁"))
    while True:
        places = [
            (-pieces.scores[normal[left + right]], at)
            for at, (left, right) in enumerate(pairwise(symbols))
            if left + right in normal
        ]
        if not places:
            break
        at = min(places)[1]
        symbols = [*symbols[:at], symbols[at] + symbols[at + 1], *symbols[at + 2 :]]
    ids: list[int] = []
    for symbol in symbols:
        ids += [normal[symbol]] if symbol in normal else [3 + byte for byte in symbol.encode()]
    return ids


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_against_the_definition(pieces: Pieces, prefix: bool) -> None:
    tokenizer = tokenizer_from(piece_keys(pieces, prefix=pair("tokenizer.ggml.add_space_prefix", 7, int(prefix))))
    assert (tokenizer.begin_token, tokenizer.adds_begin_token, tokenizer.end_tokens) == (1, True, frozenset({2}))
    for text in (*TEXTS, SAMPLE[:200]):
        ids = tokenizer.encode(text, add_special=False)
        assert ids == expected_pieces(pieces, text, prefix=prefix), text
        assert tokenizer.decode(ids) == text
        assert tokenizer.encode(text) == [1, *ids]


@settings(deadline=None, max_examples=80, derandomize=True)
@given(text=ANY_TEXT)
def test_sentencepiece_of_any_text(pieces: Pieces, text: str) -> None:
    text = text.replace("▁", "_")  # which SentencePiece cannot tell from a space
    tokenizer = tokenizer_from(piece_keys(pieces))
    ids = tokenizer.encode(text, add_special=False)
    assert ids == expected_pieces(pieces, text, prefix=True)
    assert tokenizer.decode(ids) == text


def test_refused(byte_level: Vocabulary, pieces: Pieces) -> None:
    good = byte_level_keys(byte_level)

    def replaced(key: str, kind: int, value: Any) -> list[bytes]:
        raw = pair(key, kind, value)
        name = raw[: 8 + len(key)]
        return [entry for entry in good if not entry.startswith(name)] + [raw]

    cases: list[tuple[list[bytes], type[Exception], str]] = [
        (replaced("tokenizer.ggml.model", 8, "t5"), UnsupportedError, "'t5' is not supported; supported are gpt2"),
        (replaced("tokenizer.ggml.pre", 8, "gpt-8"), UnsupportedError, "'gpt-8' is not supported; .*gpt-2"),
        (replaced("tokenizer.ggml.tokens", 9, (8, ["a", "a"])), FormatError, "token_type: has"),
        (replaced("tokenizer.ggml.tokens", 9, (5, [1])), FormatError, "must be an array of strings"),
        (replaced("tokenizer.ggml.token_type", 9, (5, [1, 2])), FormatError, "token_type: has 2 entries"),
        (replaced("tokenizer.ggml.merges", 9, (8, ["ab"])), FormatError, "'ab' is not two parts"),
        (replaced("tokenizer.ggml.merges", 9, (8, ["a b c"])), FormatError, "'a b c' is not two parts"),
        (replaced("tokenizer.ggml.merges", 9, (8, ["a nosuch"])), FormatError, "merges: .*nosuch"),
        (replaced("tokenizer.ggml.bos_token_id", 4, 10**6), FormatError, "outside the vocabulary"),
        (replaced("tokenizer.ggml.eos_token_id", 5, -7), FormatError, "outside the vocabulary"),
        ([good[0]], FormatError, "tokens: is missing"),
        (good[:-1], FormatError, "merges: is missing"),
        (piece_keys(pieces)[:3], FormatError, "scores: is missing"),
        (
            keys(["a", "a"], [1, 1], model="gpt2", merges=pair("tokenizer.ggml.merges", 9, (8, []))),
            FormatError,
            "'a' appears twice",
        ),
        (
            keys(["a", "b"], [1, 1], model="llama", scores=pair("tokenizer.ggml.scores", 9, (6, [0.0, float("nan")]))),
            FormatError,
            "must be 2 finite numbers",
        ),
    ]
    for pairs, kind, message in cases:
        with pytest.raises(kind, match=message):
            tokenizer_from(pairs)
    not_text = [*good[:1], pair("tokenizer.ggml.tokens", 9, b"\x08\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff")]
    with pytest.raises(FormatError, match="string 0 is not UTF-8"):
        tokenizer_from(not_text)


DEMO_TEXTS = (
    *TEXTS,
    SAMPLE[:400],
    "<|im_start|>user\nWhat is 12 * 34?<|im_end|>\n<|im_start|>assistant\n",
    "Zażółć gęślą jaźń. Ελληνικά, русский, العربية, עברית, हिन्दी, ไทย, 日本語, 한국어.",
    "for (int i = 0; i < n; ++i) {\n\t\tx[i] += y[i] << 2; // tail\n\t}\n",
    "https://example.org/a?b=c&d=%20#e  user@example.com  C:\\dir\\file.txt",
)


@pytest.mark.real_model
def test_demo_model_against_transformers(smollm2_gguf: Path) -> None:
    checkpoint = GgufCheckpoint(smollm2_gguf)
    tokenizer = checkpoint.tokenizer()
    meta = checkpoint.header.metadata
    tokens, merges = meta.texts("tokenizer.ggml.tokens"), meta.texts("tokenizer.ggml.merges")
    assert tokens is not None
    assert merges is not None
    reference = gpt2_of_transformers(tokens, merges, tokens[:17])
    for text in DEMO_TEXTS:
        ids = tokenizer.encode(text)
        assert ids == reference(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special=False) == text
    ends = {tokens[token] for token in tokenizer.end_tokens}
    assert ends == {"<|im_end|>", "<|endoftext|>", "<reponame>"}  # as llama.cpp has it, whatever eos is
    assert (tokenizer.begin_token, tokenizer.adds_begin_token) == (1, False)
    assert tokenizer.special_tokens["eos_token"] == "<|im_end|>"
    assert tokenizer.size == 49152
    assert tokenizer.chat_template is not None
    assert tokenizer.encode("a  1") == [tokenizer.fast.token_to_id(token) for token in ("a", "ĠĠ", "1")]


def gpt2_of_transformers(tokens: list[str], merges: list[str], special: list[str]) -> Any:
    """transformers' GPT-2 tokenizer over a vocabulary, digits split off one by one as SmolLM's files have it."""
    from transformers import GPT2Tokenizer

    tokenizer = GPT2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[tuple(merge.split(" ")) for merge in merges],
        additional_special_tokens=special,
    )
    splits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    return tokenizer


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_mutated_tokenizers(model: str) -> None:
    """Small vocabularies with bits flipped and counts replaced: an error of ours, or a tokenizer that works."""
    special = {
        "pre": pair("tokenizer.ggml.pre", 8, "smollm"),
        "merges": pair("tokenizer.ggml.merges", 9, (8, ["A B", "C D"])),
        "scores": pair("tokenizer.ggml.scores", 9, (6, [0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0])),
        "eos": pair("tokenizer.ggml.eos_token_id", 4, 6),
        "unk": pair("tokenizer.ggml.unknown_token_id", 4, 0),
        "template": pair("tokenizer.chat_template", 8, "{{ x }}"),
    }
    whole = RawFile(keys(["A", "B", "C", "D", "AB", "CD", "<x>"], [1] * 6 + [3], model=model, **special)).bytes()
    rng = random.Random(11)
    built = 0
    for _ in range(1500):
        data = bytearray(whole)
        at = rng.randrange(24, len(data))
        if rng.random() < 0.7:
            data[at] ^= 1 << rng.randrange(8)
        else:
            data[at : at + 8] = rng.choice([0, 1, 2**31, 2**32, 2**63, 2**64 - 1]).to_bytes(8, "little")
        try:
            tokenizer = read_tokenizer(parse_header(memoryview(data), Path("t.gguf")).metadata)
        except (FormatError, UnsupportedError) as error:
            assert str(error).isprintable()
            continue
        built += 1
        tokenizer.decode(tokenizer.encode("ABCD<x> é"))
    assert 100 < built < 1000


def test_more_merges_than_a_vocabulary_can_have(byte_level: Vocabulary) -> None:
    merges = ["t h"] * (16 * len(byte_level.tokens) + 1)
    types = [NORMAL] * len(byte_level.tokens)
    given = keys(byte_level.tokens, types, model="gpt2", merges=pair("tokenizer.ggml.merges", 9, (8, merges)))
    with pytest.raises(FormatError, match=r"merges: are .* must be at most 16 for each"):
        tokenizer_from(given)


def test_merges_that_are_no_text(byte_level: Vocabulary) -> None:
    given = byte_level_keys(byte_level)
    raw = RawFile(given).bytes().replace(b"t h", b"t \xff")
    with pytest.raises(FormatError, match=r"merges: string \d+ is not UTF-8"):
        read_tokenizer(parse_header(memoryview(raw), Path("t.gguf")).metadata)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    tokens=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=30, unique=True),
    data=st.data(),
)
def test_merges_of_scores_by_their_definition(tokens: list[str], data: st.DataObject) -> None:
    """The best piece first, the smaller id among equals, then by the parts."""
    count = len(tokens)
    scores = data.draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    types = data.draw(st.lists(st.sampled_from([NORMAL, CONTROL, USER_DEFINED]), min_size=count, max_size=count))
    usable = {token for token, kind in zip(tokens, types, strict=True) if kind != CONTROL}
    expected = sorted(
        (-scores[index], index, token[:cut], token[cut:])
        for index, token in enumerate(tokens)
        if token in usable
        for cut in range(1, len(token))
        if token[:cut] in usable and token[cut:] in usable
    )
    vocabulary = {token: index for index, token in enumerate(tokens)}
    found = _merges_of_scores(Metadata(Path("t.gguf")), vocabulary, np.array(types), np.array(scores, dtype=np.float64))
    assert found == [(left, right) for _, _, left, right in expected]


def test_pieces_that_are_put_together_in_too_many_ways() -> None:
    """Every part of a long text as a token: there are as many ways as characters, for each of them."""
    rng = random.Random(3)
    text = "".join(rng.choice("abcdefgh") for _ in range(150))
    tokens = sorted({text[start : start + length] for start in range(100) for length in range(1, 40)})
    scores = pair("tokenizer.ggml.scores", 9, (6, [0.0] * len(tokens)))
    with pytest.raises(FormatError, match="in more than 16 ways each"):
        tokenizer_from(keys(tokens, [NORMAL] * len(tokens), model="llama", scores=scores))
