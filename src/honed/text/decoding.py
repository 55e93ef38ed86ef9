"""What a token stands for in bytes, read from a tokenizer's own decoder.

Here: the per-token form of the decoders that language models use, so that a text can be put together token by token.
Not here: the state of one stream, which is `text/detokenizer.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from honed.errors import UnsupportedError
from honed.records import dataclass


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: bytes that print stand for themselves, the others for U+0100 and up in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(0x100)).difference(printable))
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


@dataclass(frozen=True)
class Rules:
    """A decoder as rules for one token at a time; the text is the UTF-8 decoding of the joined bytes.

    separator stands between tokens; dropped_at_start is left out of the first token (Metaspace); of the finished
    text, up to strip_count leading strip_character are removed (SentencePiece's dummy prefix).
    """

    byte_level: bool = False
    byte_fallback: bool = False
    replacements: tuple[tuple[str, str], ...] = ()
    separator: str = ""
    dropped_at_start: str = ""
    strip_character: str = ""
    strip_count: int = 0

    def token_bytes(self, token: str, *, first: bool) -> bytes:
        """Bytes of one token; `first` if the text begins with it."""
        if self.byte_level:
            try:
                return bytes(_BYTE_OF[character] for character in token)
            except KeyError:  # an added token, which is written in plain text
                return token.encode()
        if first and self.dropped_at_start:
            token = token.replace(self.dropped_at_start, "")
        for old, new in self.replacements:
            token = token.replace(old, new)
        if self.byte_fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            try:
                return bytes((int(token[3:5], 16),))
            except ValueError:
                pass
        return (token if first else self.separator + token).encode()


def read_rules(fast: FastTokenizer) -> Rules:
    """Rules of a tokenizer's decoder. A decoder that no language model is known to use: UnsupportedError."""
    if fast.decoder is None:
        return Rules(separator=" ")
    # The pickled state is the decoder's JSON; the whole tokenizer as JSON would be megabytes.
    spec: dict[str, Any] = json.loads(fast.decoder.__getstate__())
    steps: list[dict[str, Any]] = spec["decoders"] if spec["type"] == "Sequence" else [spec]
    return _combine(steps)


def _combine(steps: Iterable[dict[str, Any]]) -> Rules:
    rules: dict[str, Any] = {"replacements": ()}
    fused = False
    for step in steps:
        kind = step["type"]
        match kind:
            case "ByteLevel" if len(rules) == 1 and not rules["replacements"]:
                rules["byte_level"] = fused = True
            case "Metaspace" if not fused:
                if step["prepend_scheme"] != "never":
                    rules["dropped_at_start"] = step["replacement"]
                rules["replacements"] += ((step["replacement"], " "),)
            case "Replace" if not fused and "String" in step["pattern"] and "byte_fallback" not in rules:
                rules["replacements"] += ((step["pattern"]["String"], step["content"]),)
            case "ByteFallback" if not fused:
                rules["byte_fallback"] = True
            case "Fuse":
                fused = True
            case "Strip" if fused and step["stop"] == 0:
                rules |= {"strip_character": step["content"], "strip_count": step["start"]}
            case _:
                shown = ", ".join(s["type"] for s in steps)
                raise UnsupportedError(f"tokenizer decoder [{shown}]: step {kind} cannot be decoded token by token")
    return Rules(**rules)


@dataclass(frozen=True)
class Decoding:
    """A tokenizer's vocabulary seen from the decoding side."""

    fast: FastTokenizer
    rules: Rules
    special: frozenset[int]
    """Ids that are control tokens and not text."""

    @classmethod
    def of(cls, fast: FastTokenizer) -> Decoding:
        """Reads decoder and special tokens. UnsupportedError as in `read_rules`."""
        added = fast.get_added_tokens_decoder()
        return cls(fast, read_rules(fast), frozenset(token_id for token_id, token in added.items() if token.special))

    def token(self, token_id: int) -> str | None:
        """The token as the vocabulary spells it; None for an id outside of it, as padded embeddings have."""
        if not 0 <= token_id < 2**32:
            return None
        token: str | None = self.fast.id_to_token(token_id)
        return token
