"""A tokenizer as the keys of a GGUF file: byte-level BPE (gpt2), and BPE in SentencePiece's manner (llama).

The keys are those of llama.cpp. What was read from a GGUF file goes on as it was. Whether a reader splits texts as the
tokenizer does is checked on some that are hard (`check_tokenizer`), so that a pre-tokenizer without a name, or a
normalizer without a key, is refused and not lost. Not here: reading (`tokenizer.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honed.checkpoints.gguf.end_tokens import end_tokens
from honed.checkpoints.gguf.metadata import Metadata, Numbers, Strings, Text
from honed.checkpoints.gguf.splitting_name import splitting_name
from honed.checkpoints.gguf.tokenizer import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from honed.errors import UnsupportedError, quoted
from honed.text.tokenizer import Tokenizer

_HARD = (
    "The quick brown fox didn't jump over 12345 lazy dogs, I'LL say.\n\n  Indented\ttabs and   spaces   ",
    "Größe, naïve café; Привет, мир! 你好，世界。 नमस्ते 한국어 🙂👍🏽 e\u0301",
    "def f(x):\n    return x**2 + 3.14e-10  # comment\r\n\r\nif a != b: print('a\\'b')",
    " leading and trailing ",
    "",
)
_IDS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_PREFIX = "tokenizer."


def copied_keys(metadata: Metadata) -> dict[str, Any]:
    """Those of a GGUF file, as it has them."""
    return {key: _value(metadata, key) for key in metadata.values if key.startswith(_PREFIX)}


def _value(metadata: Metadata, key: str) -> Any:
    value = metadata.values[key]
    if isinstance(value, Text):
        return metadata.text(key)
    if isinstance(value, Strings):
        return metadata.texts(key)
    if isinstance(value, Numbers):
        stored = metadata.source.read(value.start, value.count * value.dtype.itemsize)
        return np.frombuffer(stored, value.dtype)
    return value


def tokenizer_keys(tokenizer: Tokenizer, rows: int, source: Path) -> dict[str, Any]:
    """rows: of the embedding; those without a token become unused ones. UnsupportedError for what has no such keys."""
    document = json.loads(tokenizer.fast.to_str())
    model = document["model"]
    if model.get("type") != "BPE":
        raise UnsupportedError(
            f"{source}: tokenizer.json: model.type {quoted(model.get('type'))}: GGUF files are written of BPE only"
        )
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise UnsupportedError(f"{source}: tokenizer.json: model.{name}: a GGUF file cannot say it")
    byte_level = _is_byte_level(document)
    tokens, types = _tokens(document, rows, source, byte_level=byte_level)
    keys = _byte_level(document, source) if byte_level else _sentencepiece(document, tokens)
    keys |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": np.array(types, np.int32)}
    keys |= _special(tokenizer, tokens, types)
    keys["tokenizer.ggml.add_bos_token"] = tokenizer.adds_begin_token
    if any(tokenizer.around):
        raise UnsupportedError(
            f"{source}: tokenizer.json: post_processor puts ids {quoted(tokenizer.around)} around a text: a GGUF file "
            "can say the begin token only"
        )
    if tokenizer.chat_template is not None:
        keys["tokenizer.chat_template"] = tokenizer.chat_template
    return keys


def check_tokenizer(tokenizer: Tokenizer, read: Tokenizer, source: Path) -> None:
    """UnsupportedError where what a reader makes of the keys gives other ids for a text."""
    for text in _HARD:
        ours, theirs = tokenizer.encode(text), read.encode(text)
        if ours != theirs:
            raise UnsupportedError(
                f"{source}: tokenizer.json: {quoted(text, 40)} becomes other tokens by what a GGUF file can say of it"
            )
    if not tokenizer.end_tokens <= read.end_tokens:
        lost = ", ".join(map(str, sorted(tokenizer.end_tokens - read.end_tokens)))
        raise UnsupportedError(f"{source}: eos_token_id: {lost}: a GGUF file cannot say that they end a reply too")


def _is_byte_level(document: Mapping[str, Any]) -> bool:
    parts = document.get("pre_tokenizer") or {}
    return any(part.get("type") == "ByteLevel" for part in parts.get("pretokenizers", [parts]))


def _tokens(document: Mapping[str, Any], rows: int, source: Path, *, byte_level: bool) -> tuple[list[str], list[int]]:
    model = document["model"]
    added = {token["id"]: token for token in document.get("added_tokens", ())}
    by_id = {index: token for token, index in model["vocab"].items()} | {i: t["content"] for i, t in added.items()}
    highest = max(by_id, default=-1)
    if highest >= rows:
        raise UnsupportedError(f"{source}: tokenizer.json: id {highest} has no row in an embedding of {rows}")
    tokens, types = [], []
    for index in range(rows):
        token = by_id.get(index)
        tokens.append(f"[unused{index}]" if token is None else token)
        if token is None:
            types.append(UNUSED)
        elif token == model.get("unk_token") and not byte_level:
            types.append(UNKNOWN)
        elif index in added:
            types.append(CONTROL if added[index].get("special") else USER_DEFINED)
        else:
            types.append(BYTE if not byte_level and len(token) == 6 and token.startswith("<0x") else NORMAL)
    return tokens, types


def _byte_level(document: Mapping[str, Any], source: Path) -> dict[str, Any]:
    name = splitting_name(document)
    if name is None:
        raise UnsupportedError(
            f"{source}: tokenizer.json: pre_tokenizer: splits text in a way that llama.cpp has no name for"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in document["model"]["merges"]]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name, "tokenizer.ggml.merges": merges}


def _sentencepiece(document: Mapping[str, Any], tokens: list[str]) -> dict[str, Any]:
    """Scores in the order of the merges: the best piece is merged first (Kudo and Richardson 2018)."""
    merges = document["model"]["merges"]
    made: dict[str, int] = {}
    for place, merge in enumerate(merges):
        made.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), place)
    scores = [-float(made.get(token, len(merges) + index)) for index, token in enumerate(tokens)]
    spaces = json.dumps([document.get("normalizer"), document.get("pre_tokenizer")])
    prefix = '"Prepend"' in spaces or '"prepend_scheme": "always"' in spaces or '"prepend_scheme": "first"' in spaces
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def _special(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for role, name in _IDS.items():
        token = tokenizer.special_tokens.get(role)
        number = None if token is None else tokenizer.fast.token_to_id(token)
        if number is not None and number < len(tokens):
            found[f"tokenizer.ggml.{name}_token_id"] = number
    if tokenizer.begin_token is not None:
        found.setdefault("tokenizer.ggml.bos_token_id", tokenizer.begin_token)
    known = end_tokens(tokens, np.array(types) == CONTROL) | {found.get("tokenizer.ggml.eos_token_id")}
    left = sorted(tokenizer.end_tokens - known)
    names = ["eot", "eom"] if "tokenizer.ggml.eos_token_id" in found else ["eos", "eot", "eom"]
    return found | {f"tokenizer.ggml.{name}_token_id": number for name, number in zip(names, left, strict=False)}
