"""Mistral's tekken.json as the tokenizer.json that it would be: the same ids for every text.

A tekken.json lists the bytes of each token by its rank, and a pattern that cuts a text into words. A word is built by
joining, again and again, the two neighbours whose bytes together have the lowest rank, or is a token at once where
there is one. Written as merges, that is each way to cut a token into two others, tokens in the order of their ranks.
The ids of the special tokens come before those of the ranks. Not here: reading the result (`fast_tokenizer.py`), and
tools, images and the like, which Mistral's own library puts into prompts.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.checkpoints.json_files import decode_text, parse_object
from honed.errors import FormatError, quoted

TEKKEN = "tekken.json"
TEKKEN_ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

_MAX_VALUES = 2_500_000
"""Of the published ones the largest has a million."""
_MAX_TOKENS = 1 << 20
_MAX_BYTES = 512
"""Of one token; published ones have up to 128."""
_MERGES_A_TOKEN = 16
_UNLISTED = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""The special tokens of files up to version 7, which do not list them."""


def tokenizer_document(source: bytes, path: Path) -> bytes:
    """The tokenizer.json. FormatError for what is missing or does not fit together."""
    document = parse_object(decode_text(source, path), path, "JSON", values=_MAX_VALUES, duplicates="refuse")
    config = document.get("config")
    if not isinstance(config, dict):
        raise FormatError(path, "config", "must be an object")
    pattern = config.get("pattern")
    if not isinstance(pattern, str) or not pattern:
        raise FormatError(path, "config.pattern", "must be a pattern")
    special = _special_tokens(document, _count(config, "default_num_special_tokens", path), path)
    size = _count(config, "default_vocab_size", path)
    tokens = _tokens(document, size - len(special), path)
    vocabulary = {text: number for number, (text, _) in enumerate(special)}
    for rank, token in enumerate(tokens):
        if vocabulary.setdefault(_written(token), len(special) + rank) != len(special) + rank:
            raise FormatError(path, f"vocab[{rank}].token_bytes", "is that of another token")
    return json.dumps(_as_tokenizer_json(special, vocabulary, _merges(tokens, path), pattern)).encode()


def _count(config: Mapping[str, Any], field: str, path: Path) -> int:
    value = config.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_TOKENS:
        raise FormatError(path, f"config.{field}", f"is {quoted(value)}, must be from 1 to {_MAX_TOKENS}")
    return value


def _special_tokens(document: Mapping[str, Any], count: int, path: Path) -> list[tuple[str, bool]]:
    """The text of each and whether it is hidden in a reply; those that have no name are numbered."""
    listed = document.get("special_tokens")
    if listed is None:
        listed = [{"rank": rank, "token_str": text, "is_control": True} for rank, text in enumerate(_UNLISTED[:count])]
    if not isinstance(listed, list) or len(listed) > count:
        raise FormatError(path, "special_tokens", f"must be a list of at most {count}")
    found: list[tuple[str, bool]] = [(f"<SPECIAL_{number}>", True) for number in range(count)]
    given: set[int] = set()
    for number, token in enumerate(listed):
        rank, text = (token.get("rank"), token.get("token_str")) if isinstance(token, dict) else (None, None)
        if not isinstance(rank, int) or not 0 <= rank < len(listed) or rank in given:
            raise FormatError(path, f"special_tokens[{number}].rank", "must be a number of its own within the list")
        if not isinstance(text, str) or not text:
            raise FormatError(path, f"special_tokens[{number}].token_str", "must be text")
        given.add(rank)
        found[rank] = text, token.get("is_control") is not False
    if len({text for text, _ in found}) != count:
        raise FormatError(path, "special_tokens", "the same text appears twice")
    return found


def _tokens(document: Mapping[str, Any], count: int, path: Path) -> list[bytes]:
    """The bytes of each rank, as many as the model has; a file may list more."""
    listed = document.get("vocab")
    if not isinstance(listed, list) or not 256 <= count <= len(listed):
        raise FormatError(
            path,
            "config.default_vocab_size",
            f"leaves {count} tokens beside the special ones, and vocab must list them",
        )
    tokens: list[bytes] = []
    for rank, entry in enumerate(listed[:count]):
        if not isinstance(entry, dict) or entry.get("rank") != rank:
            raise FormatError(path, f"vocab[{rank}].rank", "must be the place in the list")
        try:
            token = base64.b64decode(entry["token_bytes"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error):
            token = b""
        if not 0 < len(token) <= _MAX_BYTES:
            raise FormatError(path, f"vocab[{rank}].token_bytes", f"must be 1 to {_MAX_BYTES} bytes in base 64")
        tokens.append(token)
    if set(map(bytes, zip(range(256), strict=True))) != set(tokens[:256]):
        raise FormatError(path, "vocab", "must begin with the 256 bytes")
    return tokens


def _merges(tokens: list[bytes], path: Path) -> list[tuple[str, str]]:
    """Every way to cut a token into two others, in the order of ranks and for one token the parts of low rank first."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    written = [_written(token) for token in tokens]
    found: list[tuple[str, str]] = []
    most = _MERGES_A_TOKEN * len(tokens)
    for token in tokens:
        cuts: list[tuple[int, int]] = []
        for place in range(1, len(token)):
            left = ranks.get(token[:place])
            right = None if left is None else ranks.get(token[place:])
            if left is not None and right is not None:
                cuts.append((left, right))
        found += [(written[left], written[right]) for left, right in sorted(cuts)]
        if len(found) > most:
            raise FormatError(path, "vocab", f"tokens can be put together in more than {_MERGES_A_TOKEN} ways each")
    return found


def _alphabet() -> str:
    """The character of each byte in GPT-2's writing: itself where it is one that shows, else one from U+0100 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    places = {byte: byte for byte in shown} | {byte: 0x100 + number for number, byte in enumerate(others)}
    return "".join(chr(places[byte]) for byte in range(256))


_WRITTEN = _alphabet()


def _written(token: bytes) -> str:
    return token.decode("latin-1").translate(_WRITTEN)


def _as_tokenizer_json(
    special: list[tuple[str, bool]], vocabulary: Mapping[str, int], merges: list[tuple[str, str]], pattern: str
) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    begin = TEKKEN_ROLES["bos_token"]
    before = [{"SpecialToken": {"id": begin, "type_id": 0}}] if begin in vocabulary else []
    roles = {begin: {"id": begin, "ids": [vocabulary[begin]], "tokens": [begin]}} if before else {}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": text, **flags, "special": hidden} for number, (text, hidden) in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [*before, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": roles,
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": dict(vocabulary),
            "merges": merges,
        },
    }
