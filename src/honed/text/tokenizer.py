"""A tokenizer with what generation needs beside it: special tokens and the chat template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import cached_property
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from honed.errors import UnsupportedError, quoted
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
    around: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Further ids before and after a plain prompt, which the checkpoint's post-processor puts there."""
    no_template: str = ""
    """Why there is no chat template, where there are some to choose from."""

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Ids of a text; special tokens written in it are recognized.

        `add_special` puts around it what belongs around a plain prompt: the begin token, unless the text has it
        already, and whatever else the checkpoint's post-processor adds. A tokenizer that breaks: UnsupportedError.
        """
        ids: list[int] = encoded(self.fast, text).ids
        return self.completed(ids) if add_special else ids

    def completed(self, ids: Sequence[int]) -> list[int]:
        """Ids of a plain prompt with those around them."""
        before, after = self.around
        if self.adds_begin_token and self.begin_token is not None and [*ids[:1]] != [self.begin_token]:
            before = (self.begin_token, *before)
        return [*before, *ids, *after]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of a whole sequence; incomplete UTF-8 becomes U+FFFD. For a stream use `text/detokenizer.py`."""
        return decode_all(self.decoding, ids, skip_special=skip_special)

    @cached_property
    def decoding(self) -> Decoding:
        """What a stream's `Detokenizer` needs. A decoder that cannot go token by token: UnsupportedError."""
        return Decoding.of(self.fast)

    @cached_property
    def added(self) -> Mapping[int, AddedToken]:
        """Tokens that are found in a text before it is split, by id."""
        found: dict[int, AddedToken] = self.fast.get_added_tokens_decoder()
        return found

    @property
    def size(self) -> int:
        """Ids known, added tokens included."""
        count: int = self.fast.get_vocab_size(with_added_tokens=True)
        return count


def encoded(fast: FastTokenizer, text: str) -> Any:
    """The library's encoding of a text, nothing added. A tokenizer that breaks on it: UnsupportedError."""
    with no_panic("tokenizer"):
        return fast.encode(text, add_special_tokens=False)


@contextmanager
def no_panic(what: str) -> Iterator[None]:
    """Makes an UnsupportedError of what the tokenizers library throws; its panics derive from BaseException."""
    try:
        yield
    except BaseException as error:
        expected = isinstance(error, Exception) and not isinstance(error, MemoryError)
        if not expected and type(error).__name__ != "PanicException":
            raise
        raise UnsupportedError(f"{what}: it fails on this text: {quoted(str(error), 200)}") from None
