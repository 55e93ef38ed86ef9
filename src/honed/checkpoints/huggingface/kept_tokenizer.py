"""What is known of tokenizer.json files that have passed behind the fence, kept for the next start.

A small one is only noted by its name. A large one is kept in a form that is read in half the time: the tokenizers
library reads JSON slowly and lets no other thread of Python run meanwhile; made from a vocabulary and merges that are
Python objects already, the same tokenizer is there sooner. Files lie under $XDG_CACHE_HOME/honed/tokenizers, named by a
digest of the bytes of the tokenizer.json, the version of the library and that of the checks. A form is kept only if
what comes of it is, written as JSON, what comes of the original. Nothing is read that is not the user's own file, or
whose checksum is wrong; that is removed and made again. Byte-pair encodings only: others are small. Where nothing can
be kept, nothing is said. Not here: the fence (`fast_tokenizer.py`).

File: magic and digest (`_HEAD`), a line of JSON, two uint32 for each merge, the tokens in the order of their ids.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
from array import array
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.download.cache import cache_directory
from honed.errors import SourceError

SMALL = 1 << 18
"""Bytes of a tokenizer.json that takes no time worth keeping anything for."""
MAX_FILES = 16
"""The oldest go first."""
MAX_PASSED = 1024

_CHECKS = 1
"""To be raised with every check that is added to those behind the fence."""
_PASSED = "passed"

_HEAD = struct.Struct("<8s32s")
_MAGIC = b"HONEDTK2"
_SEPARATOR = "\n"
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_OPTIONS = (
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
)


class KeptTokenizer:
    """What is kept of one tokenizer.json."""

    def __init__(self, source: bytes) -> None:
        self.large = len(source) >= SMALL
        key = hashlib.sha256(source)
        key.update(f"\n{tokenizers.__version__}\n{_CHECKS}".encode())
        self._name = key.hexdigest()
        self._place: Path | None = None
        with suppress(RuntimeError, SourceError):  # no home directory
            self._place = cache_directory() / "tokenizers"

    def read(self) -> FastTokenizer | None:
        """The tokenizer, if it is large and was kept."""
        if self._place is None or not self.large or not (body := self._body(self._place / self._name)):
            return None
        try:
            return compose(body)
        except Exception:  # written by another program under the same name
            _remove(self._place / self._name)
            return None

    def is_known(self) -> bool:
        """Whether the file has passed before."""
        return self._place is not None and self._body(self._place / _PASSED / self._name) is not None

    def keep(self, form: bytes) -> None:
        """Keeps what `kept_form` gave; without one it is noted that the file has passed."""
        if self._place is None:
            return
        directory, most = (self._place, MAX_FILES) if form else (self._place / _PASSED, MAX_PASSED)
        with suppress(OSError):  # a disk that is full
            directory.mkdir(parents=True, exist_ok=True)
            partial = directory / f".partial-{os.getpid()}-{self._name}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            try:
                with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
                    file.write(_HEAD.pack(_MAGIC, hashlib.sha256(form).digest()) + form)
                _make_place(directory / self._name)
                partial.replace(directory / self._name)
            finally:
                partial.unlink(missing_ok=True)
            _remove_old(directory, most)

    def _body(self, path: Path) -> memoryview | None:
        """What a file holds if it is the user's own and whole; another one is removed."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(path, flags), "rb") as file:
                state = os.fstat(file.fileno())
                own = not hasattr(os, "geteuid") or (state.st_uid == os.geteuid() and not state.st_mode & 0o022)
                data = file.read() if own and stat.S_ISREG(state.st_mode) else b""
        except FileNotFoundError:
            return None
        except OSError:
            data = b""
        body = memoryview(data)[_HEAD.size :]
        if data[: _HEAD.size] == _HEAD.pack(_MAGIC, hashlib.sha256(body).digest()):
            return body
        _remove(path)
        return None


def prompts_only(fast: FastTokenizer) -> FastTokenizer:
    """The same tokenizer without what is meant for training: truncation, padding and random merges."""
    fast.no_truncation()
    fast.no_padding()
    if getattr(fast.model, "dropout", None) is not None:
        fast.model.dropout = None
    return fast


def kept_form(document: dict[str, Any]) -> bytes:
    """The form of a tokenizer.json; empty if there is none. Whether it gives the same `same_tokenizer` says."""
    try:
        return _take_apart(document) or b""
    except Exception:  # a tokenizer that has no such form
        return b""


def digest_of(fast: FastTokenizer) -> str:
    """Of a tokenizer written as JSON."""
    return hashlib.sha256(fast.to_str().encode()).hexdigest()


def same_tokenizer(form: bytes, digest: str) -> FastTokenizer | None:
    """What is made of a form, if it is the tokenizer with that digest."""
    try:
        made = compose(memoryview(form)) if form else None
        return made if made is not None and digest_of(made) == digest else None
    except Exception:  # of a tokenizer that has no such form
        return None


def _take_apart(document: dict[str, Any]) -> bytes | None:
    model = document["model"]
    if model["type"] != "BPE":
        return None
    ids: dict[str, int] = model["vocab"]
    numbers = list(range(len(ids)))
    tokens = list(ids) if list(ids.values()) == numbers else sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != numbers or any(_SEPARATOR in token for token in tokens):
        return None
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    merges = array("I", map(ids.__getitem__, chain.from_iterable(pairs)))
    head = {
        "options": {name: model[name] for name in _OPTIONS if model.get(name) is not None},
        "parts": {name: document.get(name) for name in _PARTS},
        "added": sorted(document.get("added_tokens", []), key=lambda token: int(token["id"])),
        "numbers": len(merges),
    }
    return json.dumps(head).encode() + b"\n" + _little(merges).tobytes() + _SEPARATOR.join(tokens).encode()


def compose(form: memoryview) -> FastTokenizer:
    """The tokenizer that `kept_form` was made of."""
    body = form
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


def _remove_old(directory: Path, most: int) -> None:
    kept = sorted((path for path in directory.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime)
    for path in kept[:-most]:
        path.unlink()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _make_place(path: Path) -> None:
    """A directory in the place of a file would stay there for ever."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
