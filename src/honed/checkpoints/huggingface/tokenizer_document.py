"""What a tokenizer.json may ask of the tokenizers library.

The library takes a file at its word: a few kilobytes can make a text grow a million times, name tokens that do not
exist (a panic at the first use), or nest without end. Here: the checks of structure, made before the library sees the
file, of counts, references, and how far each step may let a text grow. Truncation and padding are not looked at: they
are never applied to prompts. Not here: trying the tokenizer out (`tokenizer_worker.py`).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from honed.errors import quoted

MAX_STEPS = 32
"""Of one part, nested sequences counted flat."""
MAX_GROWTH = 64
"""How many times longer the steps of one part may make a text, one after the other."""
MAX_PATTERN = 1 << 14
MAX_TEXT = 1 << 12
"""Characters of one token that is added, or of what is put in or taken out."""
MAX_AROUND = 64
"""Tokens that a post-processor puts around a text."""
MAX_WORD = 1 << 14
"""WordPiece's max_input_chars_per_word: the work for a word grows with its square."""
_LONGEST_REPLACEMENT = 256
"""Bytes that a character map may put for a character: the longest of Unicode's compatibility forms has 33."""
_MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")
_INSIDE = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}
_KNOWN = {
    "normalizer": {"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"}
    | {"Prepend", "Replace", "Strip", "StripAccents"},
    "pre_tokenizer": {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"}
    | {"Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"},
    "post_processor": {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"},
    "decoder": {"BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"},
}


class DocumentError(Exception):
    """A field that is not as it must be."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


def check_document(document: Any) -> None:
    """DocumentError names the first field that is wrong. What is not checked here the library checks itself."""
    if not isinstance(document, dict):
        raise DocumentError("document", "must be an object")
    ids = _check_model(_object(document.get("model"), "model"))
    ids |= _check_added(document.get("added_tokens"))
    for part in _INSIDE:
        steps = list(_steps(document.get(part), part))
        if len(steps) > MAX_STEPS:
            raise DocumentError(part, f"has {len(steps)} steps, must have at most {MAX_STEPS}")
        growth = 1.0
        for field, step in steps:
            _check_patterns(step, field)
            growth *= _growth(step, field, part)
        if growth > MAX_GROWTH:
            raise DocumentError(part, f"lets a text grow {growth:.3g} times, must be at most {MAX_GROWTH}")
        if part == "post_processor":
            _check_around(steps, ids)


def _check_model(model: Mapping[str, Any]) -> set[int]:
    """The ids of the vocabulary."""
    kind = model.get("type")
    if kind is not None and kind not in _MODELS:
        raise DocumentError("model.type", f"{quoted(kind)} must be one of {', '.join(_MODELS)}")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "unk_token"):
        _text(model.get(name), f"model.{name}")
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > MAX_WORD:
        raise DocumentError("model.max_input_chars_per_word", f"is {quoted(longest)}, must be at most {MAX_WORD}")
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):
        for number, piece in enumerate(vocabulary):
            score = piece[1] if isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str) else None
            if not isinstance(score, int | float) or not math.isfinite(score):
                raise DocumentError(f"model.vocab[{number}]", f"{quoted(piece)} must be a text and a finite score")
        return set(range(len(vocabulary)))
    ids = _object(vocabulary, "model.vocab").values()
    found = {token_id for token_id in ids if type(token_id) is int and 0 <= token_id < 1 << 31}
    if len(found) != len(ids):
        raise DocumentError("model.vocab", "the ids must be whole numbers from 0 to 2^31 - 1, each given once")
    return found


def _check_added(added: Any) -> set[int]:
    """The ids of the added tokens."""
    ids: set[int] = set()
    if not isinstance(added, list | None):
        raise DocumentError("added_tokens", "must be a list")
    for number, token in enumerate(added or ()):
        field = f"added_tokens[{number}]"
        token_id = _object(token, field).get("id")
        if type(token_id) is not int or not 0 <= token_id < 1 << 31:
            raise DocumentError(f"{field}.id", f"{quoted(token_id)} must be a whole number from 0 to 2^31 - 1")
        _text(token.get("content"), f"{field}.content")
        ids.add(token_id)
    return ids


def _steps(value: Any, part: str, field: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The steps of a part in their order, whatever they are nested in."""
    field = field or part
    if value is None:
        return
    step = _object(value, field)
    kind = step.get("type")
    if kind != "Sequence":
        if kind not in _KNOWN[part]:
            raise DocumentError(f"{field}.type", f"{quoted(kind)} is not known")
        yield field, step
        return
    inside = step.get(_INSIDE[part])
    if not isinstance(inside, list) or depth > 3:
        raise DocumentError(field, "must be a list of steps, nested at most four deep")
    for number, inner in enumerate(inside):
        yield from _steps(inner, part, f"{field}.{_INSIDE[part]}[{number}]", depth + 1)


def _check_patterns(step: Mapping[str, Any], field: str) -> None:
    for name in ("content", "prepend", "replacement", "prefix", "suffix", "delimiter"):
        _text(step.get(name), f"{field}.{name}")
    pattern = step.get("pattern")
    for kind, text in pattern.items() if isinstance(pattern, dict) else ():
        if not isinstance(text, str) or not text or len(text) > MAX_PATTERN:
            raise DocumentError(f"{field}.pattern.{kind}", f"must be a text of 1 to {MAX_PATTERN} characters")


def _growth(step: Mapping[str, Any], field: str, part: str) -> float:
    """How many times longer a step may make a text, in bytes."""
    match step.get("type"):
        case "Replace" if part != "pre_tokenizer":
            old, new = step.get("pattern"), len(str(step.get("content", "")).encode("utf-8", "surrogatepass"))
            plain = old.get("String") if isinstance(old, dict) else None
            # A regular expression may match a single character, or nothing before each.
            shortest = len(plain.encode("utf-8", "surrogatepass")) if isinstance(plain, str) else 1
            return max(1.0, new / shortest if plain is not None else new)
        case "Prepend":
            return 1.0 + len(str(step.get("prepend", "")).encode("utf-8", "surrogatepass"))
        case "ByteLevel" if part in ("normalizer", "pre_tokenizer"):
            return 2.0
        case "Metaspace":
            return max(1.0, float(len(str(step.get("replacement", "")).encode("utf-8", "surrogatepass"))))
        case "Precompiled":
            _check_map(step.get("precompiled_charsmap"), field)
    return 1.0


def _check_map(value: Any, field: str) -> None:
    """SentencePiece's map: the size of a trie, the trie, and what its characters become, each ended by a zero."""
    field = f"{field}.precompiled_charsmap"
    try:
        data = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise DocumentError(field, "must be base64") from None
    size = int.from_bytes(data[:4], "little")
    if len(data) < 8 or size % 4 or not 4 <= size <= len(data) - 4:
        raise DocumentError(field, "must hold a trie of the size that it begins with")
    longest = max(len(text) for text in data[4 + size :].split(b"\0"))
    if longest > _LONGEST_REPLACEMENT:
        raise DocumentError(field, f"puts {longest} bytes for a character, must be at most {_LONGEST_REPLACEMENT}")


def _check_around(steps: Sequence[tuple[str, Mapping[str, Any]]], ids: Collection[int]) -> None:
    adding = [(field, step) for field, step in steps if step.get("type") != "ByteLevel"]
    if len(adding) > 1:
        # What the second one then takes for the text is but a part of it.
        raise DocumentError("post_processor", "has more than one step that puts tokens around a text")
    for field, step in adding:
        if step.get("type") == "TemplateProcessing":
            _check_template(step, field, ids)
            continue
        for name in ("sep", "cls"):
            pair = step.get(name)
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[1]) is not int or pair[1] not in ids:
                raise DocumentError(f"{field}.{name}", f"{quoted(pair)} must be a token of the vocabulary")


def _check_template(step: Mapping[str, Any], field: str, ids: Collection[int]) -> None:
    tokens = _object(step.get("special_tokens"), f"{field}.special_tokens")
    counts: dict[str, int] = {}
    for name, token in tokens.items():
        given = _object(token, f"{field}.special_tokens").get("ids")
        if not isinstance(given, list) or not all(type(token_id) is int and token_id in ids for token_id in given):
            raise DocumentError(f"{field}.special_tokens", f"{quoted(name)} must have ids of the vocabulary")
        counts[name] = len(given)
    for side, texts in (("single", 1), ("pair", 2)):
        pieces = step.get(side)
        if not isinstance(pieces, list) or len(pieces) > MAX_AROUND:
            raise DocumentError(f"{field}.{side}", f"must be a list of at most {MAX_AROUND} pieces")
        found = added = 0
        for piece in pieces:
            kind, value = next(iter(_object(piece, f"{field}.{side}").items()), ("", None))
            named = value.get("id") if isinstance(value, dict) else None
            if kind == "Sequence":
                found += 1
            elif not isinstance(named, str) or named not in counts:
                raise DocumentError(f"{field}.{side}", f"names {quoted(named)}, which is not in special_tokens")
            else:
                added += counts[named]
        if found != texts or added > MAX_AROUND:
            raise DocumentError(f"{field}.{side}", f"must hold {texts} text and at most {MAX_AROUND} tokens around it")


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DocumentError(field, "must be an object")
    return value


def _text(value: Any, field: str) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise DocumentError(field, f"has {len(value)} characters, must have at most {MAX_TEXT}")
