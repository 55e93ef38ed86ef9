"""Text out of tokens as they come. Not here: what a single token stands for (`text/decoding.py`), stop strings.

The pieces of a stream, joined, are `Tokenizer.decode` of its ids, for any ids: both are made by this class. Against
`tokenizers.decode` they differ in one case, runs of byte tokens (`<0xE2>`) that are not UTF-8 as a whole: there each
byte of the run becomes U+FFFD, which nobody can stream; here the valid characters of the run stay, and each maximal
invalid part becomes one U+FFFD (Unicode 15, chapter 3.9, the practice that Python and Rust follow).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from honed.text.decoding import Decoding


class Detokenizer:
    """The state of one stream. Constant work a token; at most three bytes are held back."""

    def __init__(self, decoding: Decoding, *, continues: bool = False, skip_special: bool = True) -> None:
        """`continues`: the text goes on after other text, so that its leading space is part of it."""
        self._decoding = decoding
        self._skip_special = skip_special
        self._first = not continues
        self._to_strip = 0 if continues else decoding.rules.strip_count
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        """Text that this token completes; empty while a character is incomplete and for unknown or special ids."""
        if self._skip_special and token_id in self._decoding.special:
            return ""
        token = self._decoding.token(token_id)
        if token is None:
            return ""
        data = self._decoding.rules.token_bytes(token, first=self._first)
        self._first = False
        return self._strip(self._utf8.decode(data))

    @property
    def within_character(self) -> bool:
        """Whether bytes are held back, because the character that they begin is incomplete."""
        return bool(self._utf8.getstate()[0])

    def hidden(self, token_id: int) -> str:
        """How a token is spelled that leaves no text because it is special; empty for every other."""
        if not self._skip_special or token_id not in self._decoding.special:
            return ""
        return self._decoding.token(token_id) or ""

    def finish(self) -> str:
        """What is left: U+FFFD if the stream ended inside a character. Nothing may be fed after it."""
        return self._strip(self._utf8.decode(b"", final=True))

    def _strip(self, text: str) -> str:
        while self._to_strip and text:
            if not text.startswith(self._decoding.rules.strip_character):
                self._to_strip = 0
                break
            text = text[1:]
            self._to_strip -= 1
        return text


def decode_all(decoding: Decoding, ids: Iterable[int], *, skip_special: bool) -> str:
    """Text of a whole sequence."""
    stream = Detokenizer(decoding, skip_special=skip_special)
    pieces = [stream.feed(token_id) for token_id in ids]
    return "".join(pieces) + stream.finish()
