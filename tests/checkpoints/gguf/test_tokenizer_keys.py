"""Tokenizers as keys of a GGUF file, read back as one would read the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from byte_tokenizers import byte_tokenizer
from honed.checkpoints.gguf.file_header import header_bytes
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.gguf.pretokenizers import SPLITTINGS
from honed.checkpoints.gguf.tokenizer import read_tokenizer
from honed.checkpoints.gguf.tokenizer_keys import check_tokenizer, copied_keys, tokenizer_keys
from honed.errors import UnsupportedError
from honed.text.tokenizer import Tokenizer

SOURCE = Path("model")
ROWS = 400


def read_back(keys: dict[str, Any]) -> Tokenizer:
    return read_tokenizer(parse_header(memoryview(header_bytes(keys, [])), SOURCE).metadata)


def byte_level(name: str) -> Tokenizer:
    """Split as llama.cpp's name says."""
    tokenizer = byte_tokenizer(words=("the", "ing", "123"), added=("<tool>",), template="{{ messages }}")
    splitting = SPLITTINGS[name]
    tokenizer.fast.pre_tokenizer = splitting.pre_tokenizer()
    normalizer = splitting.normalizer()
    if normalizer is not None:
        tokenizer.fast.normalizer = normalizer
    if splitting.whole_words:
        model = tokenizer.fast.model
        model.ignore_merges = True
        tokenizer.fast.model = model
    return tokenizer


def sentencepiece() -> Tokenizer:
    """As converters of SentencePiece models write them: spaces as U+2581, bytes for what has no piece."""
    pieces = ["▁", "t", "h", "e", "th", "▁th", "▁the", "n", "he", "▁t"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    merges = [("t", "h"), ("▁", "th"), ("▁th", "e"), ("h", "e"), ("▁", "t")]
    model = models.BPE(
        {token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    fast = FastTokenizer(model)
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens[:3]])
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return Tokenizer(fast, frozenset((2,)), begin_token=1, adds_begin_token=True, special_tokens=roles)


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "deepseek-v3"])
def test_a_byte_level_tokenizer_comes_back(name: str) -> None:
    tokenizer = byte_level(name)
    keys = tokenizer_keys(tokenizer, ROWS, SOURCE)
    assert keys["tokenizer.ggml.pre"] == name
    assert len(keys["tokenizer.ggml.tokens"]) == ROWS
    read = read_back(keys)
    check_tokenizer(tokenizer, read, SOURCE)
    assert read.encode("<tool> and <|end|>") == tokenizer.encode("<tool> and <|end|>")
    assert read.chat_template == "{{ messages }}"


def test_a_sentencepiece_tokenizer_comes_back() -> None:
    tokenizer = sentencepiece()
    keys = tokenizer_keys(tokenizer, 300, SOURCE)
    assert keys["tokenizer.ggml.model"] == "llama"
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.unknown_token_id"]) == (1, 0)
    read = read_back(keys)
    check_tokenizer(tokenizer, read, SOURCE)
    text = "then the ether \u00e9"
    assert read.encode(text) == tokenizer.encode(text)
    assert read.decode(read.encode(text)) == text


def test_keys_of_a_file_are_copied_as_they_are() -> None:
    keys = tokenizer_keys(byte_level("qwen2"), ROWS, SOURCE)
    metadata = parse_header(memoryview(header_bytes({"general.name": "m", **keys}, [])), SOURCE).metadata
    copied = copied_keys(metadata)
    assert copied.keys() == keys.keys()
    assert header_bytes(copied, []) == header_bytes(keys, [])


def test_what_has_no_keys_is_refused_by_name() -> None:
    words = Tokenizer(FastTokenizer(models.WordLevel({"a": 0}, unk_token="a")), frozenset())
    unnamed = byte_level("gpt-2")
    unnamed.fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("x", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    around = replace(byte_level("gpt-2"), around=((), (3,)))
    for tokenizer, named in ((words, "WordLevel"), (unnamed, "no name"), (around, "post_processor")):
        with pytest.raises(UnsupportedError, match=named):
            tokenizer_keys(tokenizer, ROWS, SOURCE)
    with pytest.raises(UnsupportedError, match="has no row"):
        tokenizer_keys(byte_level("gpt-2"), 100, SOURCE)


def test_what_a_reader_would_split_otherwise_is_refused() -> None:
    tokenizer = byte_level("gpt-2")
    read = read_back(tokenizer_keys(tokenizer, ROWS, SOURCE))
    lower = byte_level("gpt-2")
    lower.fast.normalizer = normalizers.Lowercase()
    with pytest.raises(UnsupportedError, match="other tokens"):
        check_tokenizer(lower, read, SOURCE)
    with pytest.raises(UnsupportedError, match="eos_token_id: 5"):
        check_tokenizer(replace(tokenizer, end_tokens=frozenset((5,))), read, SOURCE)
