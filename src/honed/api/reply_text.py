"""The text of one reply, token by token, up to a stop string. Not here: how it is waited for (`api/generation.py`,
`api/async_reply.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from honed.records import dataclass
from honed.text.decoding import Decoding
from honed.text.detokenizer import Detokenizer
from honed.text.stop import StopMatcher


@dataclass(frozen=True)
class TextOptions:
    """How the text of a reply is made. stop: texts that end it. include_stop: whether the one that did is part of it.
    skip_special: whether control tokens are left out of it, all but the `visible` ones. min_tokens: stop strings are
    looked for behind so many tokens."""

    stop: Sequence[str] = ()
    include_stop: bool = False
    skip_special: bool = True
    visible: frozenset[int] = frozenset()
    min_tokens: int = 0


PLAIN = TextOptions()


class ReplyText:
    """The state of one reply. Nothing may be fed once a stop string was met."""

    def __init__(self, decoding: Decoding, options: TextOptions = PLAIN, *, continues: bool = True) -> None:
        """`continues`: the text goes on after other text. An empty stop string: ParameterError."""
        if options.visible:
            decoding = Decoding(decoding.fast, decoding.rules, decoding.special - options.visible)
        self._detokenizer = Detokenizer(decoding, continues=continues, skip_special=options.skip_special)
        self._stops = StopMatcher(options.stop) if options.stop else None
        self.includes_stop = options.include_stop
        """Whether the stop string is part of the text."""
        self._unstopped = options.min_tokens if options.stop else 0
        self.matched: str | None = None
        """The stop string that was met."""
        self.decoded = 0
        """Characters of all tokens, those that are withheld included."""
        self.shown = 0
        """Characters given out."""

    @property
    def within_character(self) -> bool:
        """Whether the last token left a character incomplete."""
        return self._detokenizer.within_character

    def feed(self, token: int) -> str:
        """Text that is certain with this token."""
        text = self._detokenizer.feed(token)
        if self._stops is None:
            self.decoded += len(text)
            self.shown += len(text)
            return text
        if self._unstopped > 0:
            self._unstopped -= 1
            self.decoded += len(text)
            return self._given(text)
        if text:
            return self._matched(text)
        hidden = self._detokenizer.hidden(token)
        return self._given(self._stops.skip(hidden)) if hidden else ""

    def finish(self) -> str:
        """What is left when no token comes any more."""
        text = self._detokenizer.finish()
        if self._stops is None:
            self.decoded += len(text)
            self.shown += len(text)
            return text
        text = self._matched(text)
        return text if self.matched is not None else text + self._given(self._stops.finish())

    def _matched(self, text: str) -> str:
        assert self._stops is not None
        self.decoded += len(text)
        return self._given(self._stops.feed(text))

    def _given(self, text: str) -> str:
        assert self._stops is not None
        self.matched = self._stops.matched
        if self.matched is not None and self.includes_stop:
            text += self.matched
        self.shown += len(text)
        return text
