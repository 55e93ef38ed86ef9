"""A large tokenizer.json in a form that is read in half the time, kept for the next start.

The tokenizers library reads JSON slowly and lets no other thread of Python run meanwhile; made from a vocabulary and
merges that are Python objects already, the same tokenizer is there sooner. One file a tokenizer lies under
$XDG_CACHE_HOME/honed/tokenizers, named by a digest of the bytes of the tokenizer.json and the version of the library.
It is kept only if what comes of it is, written as JSON, what comes of the original, and it is read only if its checksum
is right. Byte-pair encodings only: others are small. Where nothing can be kept, nothing is said.

File: magic and digest (`_HEAD`), a line of JSON, two uint32 for each merge, the tokens in the order of their ids.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.download.cache import cache_directory

SMALL = 1 << 18
"""Bytes of a tokenizer.json that takes no time worth keeping anything for."""
MAX_FILES = 16
"""The oldest go first."""

_HEAD = struct.Struct("<8s32s")
_MAGIC = b"HONEDTK1"
_SEPARATOR = "\n"
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_OPTIONS = (
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
)


class KeptTokenizer:
    """The kept form of one tokenizer.json."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        key = hashlib.sha256(source)
        key.update(f"\n{tokenizers.__version__}".encode())
        self._name = key.hexdigest()

    def read(self) -> FastTokenizer | None:
        """The tokenizer, if it was kept."""
        if len(self._source) < SMALL:
            return None
        try:
            data = (_directory() / self._name).read_bytes()
        except (OSError, RuntimeError):
            return None
        body = memoryview(data)[_HEAD.size :]
        if data[: _HEAD.size] != _HEAD.pack(_MAGIC, hashlib.sha256(body).digest()):
            return None
        return _compose(body)

    def keep(self, parsed: FastTokenizer) -> None:
        """Keeps what was parsed from the source, where there is a form for it that gives the same."""
        if len(self._source) < SMALL:
            return
        with suppress(Exception):  # a tokenizer that has no such form, a disk that is full
            body = _take_apart(json.loads(self._source))
            if body is None or _compose(memoryview(body)).to_str() != parsed.to_str():
                return
            _directory().mkdir(parents=True, exist_ok=True)
            partial = _directory() / f".partial-{os.getpid()}-{self._name}"
            try:
                partial.write_bytes(_HEAD.pack(_MAGIC, hashlib.sha256(body).digest()) + body)
                partial.replace(_directory() / self._name)
            finally:
                partial.unlink(missing_ok=True)
            _remove_old()


def _take_apart(document: dict[str, Any]) -> bytes | None:
    model = document["model"]
    if model["type"] != "BPE" or document.get("truncation") is not None or document.get("padding") is not None:
        return None
    ids: dict[str, int] = model["vocab"]
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))) or any(_SEPARATOR in token for token in tokens):
        return None
    merges = array("I")
    for merge in model["merges"]:
        merges.extend(ids[part] for part in (merge.split(" ") if isinstance(merge, str) else merge))
    head = {
        "options": {name: model[name] for name in _OPTIONS if model.get(name) is not None},
        "parts": {name: document.get(name) for name in _PARTS},
        "added": sorted(document.get("added_tokens", []), key=lambda token: int(token["id"])),
        "numbers": len(merges),
    }
    return json.dumps(head).encode() + b"\n" + _little(merges).tobytes() + _SEPARATOR.join(tokens).encode()


def _compose(body: memoryview) -> FastTokenizer:
    line = bytes(body[: 1 << 20]).index(b"\n")
    head = json.loads(bytes(body[:line]))
    begin, end = line + 1, line + 1 + 4 * head["numbers"]
    merges = array("I")
    merges.frombytes(body[begin:end])
    tokens = str(body[end:], "utf-8").split(_SEPARATOR)
    parts = map(tokens.__getitem__, _little(merges))
    vocabulary = dict(zip(tokens, range(len(tokens)), strict=True))
    model = tokenizers.models.BPE(vocabulary, list(zip(parts, parts, strict=True)), **head["options"])
    made = FastTokenizer(model)
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    pattern = FastTokenizer.from_str(
        json.dumps({"version": "1.0", "added_tokens": [], "model": empty, **head["parts"]})
    )
    for name in _PARTS:
        if head["parts"][name] is not None:
            setattr(made, name, getattr(pattern, name))
    for token in head["added"]:
        settings = {name: value for name, value in token.items() if name != "id"}
        made.add_tokens([tokenizers.AddedToken(**settings)])
    return made


def _little(numbers: array[int]) -> array[int]:
    """The same numbers, from or to the order of bytes of the file."""
    if sys.byteorder != "little":
        numbers.byteswap()
    return numbers


def _remove_old() -> None:
    kept = sorted(_directory().iterdir(), key=lambda path: path.stat().st_mtime)
    for path in kept[:-MAX_FILES]:
        path.unlink()


def _directory() -> Path:
    return cache_directory() / "tokenizers"
