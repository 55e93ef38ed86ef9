"""The tokenizer of a GGUF file, both kinds, and its first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import pre_tokenizers

from fuzzing.gguf_mutations import mutate_gguf
from fuzzing.target import Target
from gguf_builder import RawFile, pair
from honed.checkpoints.gguf.header import parse_header
from honed.checkpoints.gguf.tokenizer import read_tokenizer
from honed.text.detokenizer import Detokenizer

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


def read(data: bytes, folder: Path) -> None:
    tokenizer = read_tokenizer(parse_header(memoryview(data), folder / "m.gguf").metadata)
    ids = tokenizer.encode("The quick brown fox, 12 naïve 你好 <s>\n")
    tokenizer.decode(ids, skip_special=False)
    stream = Detokenizer(tokenizer.decoding)
    for token in ids:
        stream.feed(token)
    stream.finish()


def _file(model: str, tokens: list[str], types: list[int], *more: bytes) -> bytes:
    pairs = [
        pair("general.architecture", 8, "llama"),
        pair("tokenizer.ggml.model", 8, model),
        pair("tokenizer.ggml.tokens", 9, (8, tokens)),
        pair("tokenizer.ggml.token_type", 9, (5, types)),
        pair("tokenizer.ggml.bos_token_id", 4, 0),
        pair("tokenizer.ggml.eos_token_id", 4, 1),
        pair("tokenizer.ggml.add_bos_token", 7, 1),
        pair("tokenizer.chat_template", 8, "{{ messages[0].content }}"),
    ]
    return RawFile([*pairs, *more]).bytes()


def seeds() -> Sequence[bytes]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = ["<s>", "</s>", *alphabet, "th", "the", "Ġq", "ui"]
    types = [_CONTROL] * 2 + [_NORMAL] * (len(bpe) - 2)
    merges = pair("tokenizer.ggml.merges", 9, (8, ["t h", "th e", "Ġ q", "u i"]))
    pieces = ["<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefgh", "▁a", "ab", "▁ab"]
    kinds = [_CONTROL, _CONTROL, _UNKNOWN, *[_BYTE] * 256, *[_NORMAL] * 12]
    scores = pair("tokenizer.ggml.scores", 9, (6, [-float(index) for index in range(len(pieces))]))
    unknown = pair("tokenizer.ggml.unknown_token_id", 4, 2)
    return [
        _file("gpt2", bpe, types, merges, pair("tokenizer.ggml.pre", 8, "llama-bpe")),
        _file("gpt2", bpe, types, merges, pair("tokenizer.ggml.pre", 8, "qwen2")),
        _file("llama", pieces, kinds, scores, unknown),
    ]


TARGET = Target("gguf_tokenizer", read, seeds, mutate_gguf)
