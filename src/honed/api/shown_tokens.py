"""Tokens as they are shown one by one, beside their probabilities. Not here: the text of a reply, in which characters
may be made of several tokens (`api/reply_text.py`)."""

from __future__ import annotations

from typing import NamedTuple

from honed.text.decoding import Decoding


class ShownToken(NamedTuple):
    """A token as it is shown alone: incomplete UTF-8 as U+FFFD, control tokens as they are spelled. data: its bytes."""

    text: str
    data: bytes


class ShownTokens:
    """The tokens of one vocabulary as they are shown alone."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding
        self._known: dict[int, ShownToken] = {}

    def __getitem__(self, token: int) -> ShownToken:
        """Of an id that the vocabulary does not have: empty."""
        found = self._known.get(token)
        if found is None:
            spelled = self._decoding.token(token)
            data = b"" if spelled is None else self._decoding.rules.token_bytes(spelled, first=False)
            found = self._known[token] = ShownToken(data.decode("utf-8", "replace"), data)
        return found
