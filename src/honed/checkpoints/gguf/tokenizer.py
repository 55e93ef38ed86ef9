"""Tokenizers of GGUF files as `tokenizers` objects: byte-level BPE (gpt2) and SentencePiece BPE (llama).

Not here: how byte-level vocabularies split text (`pretokenizers.py`), which tokens end a reply (`end_tokens.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, decoders, models, normalizers
from tokenizers import Tokenizer as FastTokenizer

from honed.checkpoints.gguf.end_tokens import FILL_ENDS, as_control, end_tokens
from honed.checkpoints.gguf.metadata import Metadata
from honed.checkpoints.gguf.pretokenizers import SPLITTINGS, Splitting
from honed.errors import FormatError, UnsupportedError, quoted
from honed.text.tokenizer import Tokenizer

Found = TypeVar("Found")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
_MAX_PIECE = 128
"""Characters of a SentencePiece piece; longer ones would make the search for their parts quadratic."""
_MERGES_A_TOKEN = 16
"""There are as many merges as ways to put tokens together from two others: a few for each in known vocabularies."""


def read_tokenizer(metadata: Metadata) -> Tokenizer:
    """Errors: FormatError for missing or inconsistent keys, UnsupportedError for other models and splittings."""
    model = _required(metadata.text("tokenizer.ggml.model"), metadata, "tokenizer.ggml.model")
    tokens = _required(metadata.texts("tokenizer.ggml.tokens"), metadata, "tokenizer.ggml.tokens")
    types = as_control(tokens, _token_types(metadata, len(tokens)))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        twice = next(token for index, token in enumerate(tokens) if vocabulary[token] != index)
        raise FormatError(metadata.path, "tokenizer.ggml.tokens", f"{quoted(twice)} appears twice")
    if model == "gpt2":
        splitting = _splitting(metadata)
        fast, begins = _byte_level_bpe(metadata, vocabulary, splitting), splitting.begins
    elif model == "llama":
        fast, begins = _sentencepiece_bpe(metadata, vocabulary, types), True
    else:
        raise UnsupportedError(
            f"{metadata.path}: tokenizer.ggml.model {quoted(model)} is not supported; supported are gpt2 and llama"
        )
    _add_special(fast, tokens, types)
    begin = _token_id(metadata, "bos_token_id", len(tokens))
    stated = metadata.flag("tokenizer.ggml.add_bos_token")
    return Tokenizer(
        fast=fast,
        end_tokens=_end_tokens(metadata, tokens, types),
        begin_token=begin,
        adds_begin_token=begin is not None and (begins if stated is None else stated),
        chat_template=metadata.text("tokenizer.chat_template"),
        special_tokens=_special_tokens(metadata, tokens),
    )


def _splitting(metadata: Metadata) -> Splitting:
    name = metadata.text("tokenizer.ggml.pre") or "default"
    splitting = SPLITTINGS.get(name)
    if splitting is None:
        nearest = ", ".join(get_close_matches(name, SPLITTINGS, 3, 0.0))
        raise UnsupportedError(
            f"{metadata.path}: tokenizer.ggml.pre {quoted(name)} is not supported; of the {len(SPLITTINGS)} names that "
            f"are, the nearest are {nearest}"
        )
    return splitting


def _byte_level_bpe(metadata: Metadata, vocabulary: dict[str, int], splitting: Splitting) -> FastTokenizer:
    fast = FastTokenizer(
        _bpe(metadata, vocabulary, _stated_merges(metadata, vocabulary), ignore_merges=splitting.whole_words)
    )
    normalizer = splitting.normalizer()
    if normalizer is not None:
        fast.normalizer = normalizer
    fast.pre_tokenizer = splitting.pre_tokenizer()
    fast.decoder = decoders.ByteLevel()
    return fast


def _stated_merges(metadata: Metadata, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """The parts are the vocabulary's own objects: there are hundreds of thousands of them."""
    key = "tokenizer.ggml.merges"
    count = _required(metadata.length(key), metadata, key)
    if count > _MERGES_A_TOKEN * len(vocabulary):
        raise FormatError(
            metadata.path, key, f"are {count} for {len(vocabulary)} tokens, must be at most {_MERGES_A_TOKEN} for each"
        )
    own = {token: token for token in vocabulary}
    pairs: list[tuple[str, str]] = []
    for merge in metadata.texts(key) or ():
        left, separator, right = merge.partition(" ")
        if not (left and separator and right) or " " in right:
            raise FormatError(metadata.path, key, f"{quoted(merge)} is not two parts")
        pairs.append((own.get(left, left), own.get(right, right)))
    return pairs


def _sentencepiece_bpe(metadata: Metadata, vocabulary: dict[str, int], types: NDArray[np.int64]) -> FastTokenizer:
    """Merges follow from the scores: the pair whose piece scores highest is merged first (Kudo and Richardson 2018)."""
    key = "tokenizer.ggml.scores"
    scores = _required(metadata.numbers(key), metadata, key)
    if len(scores) != len(vocabulary) or not np.isfinite(scores).all():
        raise FormatError(metadata.path, key, f"must be {len(vocabulary)} finite numbers")
    unknown = _token_id(metadata, "unknown_token_id", len(vocabulary))
    tokens = list(vocabulary)
    fast = FastTokenizer(
        _bpe(
            metadata,
            vocabulary,
            _merges_of_scores(metadata, vocabulary, types, scores),
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=bool((types == BYTE).any()),
        )
    )
    stated = metadata.flag("tokenizer.ggml.add_space_prefix")
    prefix = stated is None or stated
    spaces = normalizers.Replace(" ", "▁")
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    return fast


def _merges_of_scores(
    metadata: Metadata, vocabulary: dict[str, int], types: NDArray[np.int64], scores: NDArray[np.float64]
) -> list[tuple[str, str]]:
    """Every way to put a piece together from two others, best piece first, in the order of ids among equals."""
    tokens = list(vocabulary)
    order: list[int] = np.lexsort((np.arange(len(tokens)), -scores)).tolist()
    mergeable = np.isin(types, (NORMAL, USER_DEFINED, UNUSED))
    own = {token: token for token, counts in zip(tokens, mergeable.tolist(), strict=True) if counts}
    found: list[tuple[str, str]] = []
    most = _MERGES_A_TOKEN * max(len(tokens), 64)
    for index in order:
        token = tokens[index]
        if token not in own:
            continue
        halves: list[tuple[str, str]] = []
        for cut in range(1, len(token) if len(token) <= _MAX_PIECE else 0):
            left = own.get(token[:cut])
            right = None if left is None else own.get(token[cut:])
            if left is not None and right is not None:
                halves.append((left, right))
        found += sorted(halves) if len(halves) > 1 else halves
        if len(found) > most:
            problem = f"can be put together in more than {_MERGES_A_TOKEN} ways each"
            raise FormatError(metadata.path, "tokenizer.ggml.tokens", problem)
    return found


def _bpe(
    metadata: Metadata,
    vocabulary: dict[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    unk_token: str | None = None,
    fuse_unk: bool = False,
    byte_fallback: bool = False,
    ignore_merges: bool = False,
) -> models.BPE:
    try:
        return models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=unk_token,
            fuse_unk=fuse_unk,
            byte_fallback=byte_fallback,
            ignore_merges=ignore_merges,
        )
    except Exception as error:  # the library raises plain Exception
        raise FormatError(metadata.path, "tokenizer.ggml.merges", quoted(str(error), 200)) from None


def _add_special(fast: FastTokenizer, tokens: Sequence[str], types: NDArray[np.int64]) -> None:
    """Control and user-defined tokens are found in text before it is split; control ones are not shown as text."""
    special: list[AddedToken] = []
    ordinary: list[AddedToken] = []
    for token, kind in zip(tokens, types.tolist(), strict=True):
        if token and kind in (CONTROL, UNKNOWN):
            special.append(AddedToken(token, normalized=False, special=True))
        elif token and kind == USER_DEFINED:
            ordinary.append(AddedToken(token, normalized=False, special=False))
    fast.add_special_tokens(special)
    fast.add_tokens(ordinary)


def _token_types(metadata: Metadata, count: int) -> NDArray[np.int64]:
    key = "tokenizer.ggml.token_type"
    types = metadata.integers(key)
    if types is None:
        return np.full(count, NORMAL, dtype=np.int64)
    if len(types) != count:
        raise FormatError(metadata.path, key, f"has {len(types)} entries for {count} tokens")
    return types


def _token_id(metadata: Metadata, name: str, count: int) -> int | None:
    key = f"tokenizer.ggml.{name}"
    value = metadata.integer(key)
    if value is None or value in (-1, 0xFFFFFFFF):  # how converters write "none"
        return None
    if not 0 <= value < count:
        raise FormatError(metadata.path, key, f"is {value}, outside the vocabulary of {count}")
    return value


def _end_tokens(metadata: Metadata, tokens: Sequence[str], types: NDArray[np.int64]) -> frozenset[int]:
    named = {_token_id(metadata, f"{name}_token_id", len(tokens)) for name in ("eos", "eot", "eom", *FILL_ENDS)}
    return end_tokens(tokens, types == CONTROL) | {token for token in named if token is not None}


def _special_tokens(metadata: Metadata, tokens: Sequence[str]) -> dict[str, str]:
    found = {role: _token_id(metadata, key, len(tokens)) for role, key in _ROLES.items()}
    return {role: tokens[token] for role, token in found.items() if token is not None}


def _required(value: Found | None, metadata: Metadata, key: str) -> Found:
    if value is None:
        raise FormatError(metadata.path, key, "is missing")
    return value
