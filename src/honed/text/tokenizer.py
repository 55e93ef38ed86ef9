"""A tokenizer with what generation needs beside it: special tokens and the chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import cached_property

from tokenizers import Tokenizer as FastTokenizer

from honed.records import dataclass
from honed.text.decoding import Decoding
from honed.text.detokenizer import decode_all


@dataclass(frozen=True)
class Tokenizer:
    """Wraps a `tokenizers` object. Ids are those of the model's embedding table."""

    fast: FastTokenizer
    end_tokens: frozenset[int]
    """Ids that end a reply: eos and the end-of-turn ids of the checkpoint."""
    begin_token: int | None = None
    adds_begin_token: bool = False
    """Whether a plain prompt starts with `begin_token`."""
    chat_template: str | None = None
    special_tokens: dict[str, str] = field(default_factory=dict)
    """bos_token, eos_token, ... as text, for the chat template."""

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Ids of a text; special tokens written in it are recognized. `add_special` puts the begin token first."""
        ids: list[int] = self.fast.encode(text, add_special_tokens=False).ids
        if add_special and self.adds_begin_token and self.begin_token is not None and ids[:1] != [self.begin_token]:
            return [self.begin_token, *ids]
        return ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of a whole sequence; incomplete UTF-8 becomes U+FFFD. For a stream use `text/detokenizer.py`."""
        return decode_all(self.decoding, ids, skip_special=skip_special)

    @cached_property
    def decoding(self) -> Decoding:
        """What a stream's `Detokenizer` needs. A decoder that cannot go token by token: UnsupportedError."""
        return Decoding.of(self.fast)

    @property
    def size(self) -> int:
        """Ids known, added tokens included."""
        count: int = self.fast.get_vocab_size(with_added_tokens=True)
        return count
