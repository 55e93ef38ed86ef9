"""One choice of a reply: its pieces made into deltas. Reasoning and tool calls are told apart here, token counts kept,
logprobs written out. Not here: waiting for pieces (`server/reply.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from honed.api.async_reply import Piece, PieceToken
from honed.server.exchange import (
    Delta,
    Ended,
    ReasoningDelta,
    StopReason,
    TextDelta,
    TokenLogprob,
    ToolCallBegun,
    ToolCallDelta,
    Usage,
)
from honed.text.answer import AnswerEvent, AnswerParser, ReasoningPart
from honed.text.tool_calls.base import CallArguments, CallBegun, TextPart

if TYPE_CHECKING:
    from honed.api.shown_tokens import ShownTokens
    from honed.backends.base import Logprobs


class Choice:
    """The state of choice `index`. parser None: all of it is text."""

    def __init__(
        self,
        index: int,
        *,
        parser: AnswerParser | None,
        logprobs: int | None,
        shown: ShownTokens,
        most_calls: int | None = None,
    ) -> None:
        self.index = index
        self.generated = 0
        self.reasoning = 0
        self._parser = parser
        self._logprobs = logprobs
        self._shown = shown
        self._most_calls = most_calls
        self._calls = 0
        self._pending: list[TokenLogprob] = []
        """Tokens whose text was not told of yet."""

    def piece(self, piece: Piece) -> list[Delta]:
        """What a piece comes to."""
        self.generated += len(piece.tokens)
        if self._logprobs is not None:
            self._pending += [self._told(token) for token in piece.tokens]
        if self._parser is None:
            return [TextDelta(self.index, piece.text, self._taken())] if piece.text or self._pending else []
        deltas: list[Delta] = []
        for text, count in _by_token(piece):
            before = self._parser.reasoning
            deltas += self._deltas(self._parser.feed(text))
            if before or self._parser.reasoning:
                self.reasoning += count
        return deltas

    def end(self, reason: StopReason, stop: str | None, usage: Callable[[], Usage]) -> list[Delta]:
        """The rest, and the end of the choice."""
        deltas = self._deltas(self._parser.finish()) if self._parser is not None else []
        if self._pending:
            deltas.append(TextDelta(self.index, "", self._taken()))
        if self._calls and reason == "stop":
            reason = "tool_calls"
        return [*deltas, Ended(self.index, reason, usage(), stop)]

    def echoed(self, text: str, tokens: Sequence[int], scores: Sequence[Logprobs] | None) -> Delta:
        """The prompt as the beginning of the text, with its logprobs where they were asked for."""
        if scores is None:
            return TextDelta(self.index, text)
        told: list[TokenLogprob] = []
        for place, token in enumerate(tokens):
            shown = self._shown[token]
            if place == 0:
                told.append(TokenLogprob(token, shown.text, shown.data, None))
            else:
                told.append(self._told(PieceToken(token, shown.text, shown.data, scores[place - 1])))
        return TextDelta(self.index, text, tuple(told))

    def _deltas(self, events: Sequence[AnswerEvent]) -> list[Delta]:
        found: list[Delta] = []
        for event in events:
            match event:
                case TextPart(text):
                    found.append(TextDelta(self.index, text, self._taken()))
                case ReasoningPart(text):
                    found.append(ReasoningDelta(self.index, text, self._taken()))
                case CallBegun(number, name):
                    self._calls = number + 1
                    if not self._beyond:
                        found.append(ToolCallBegun(self.index, number, f"call_{secrets.token_hex(12)}", name))
                case CallArguments(number, fragment) if not self._beyond:
                    found.append(ToolCallDelta(self.index, number, fragment))
        return found

    @property
    def _beyond(self) -> bool:
        return self._most_calls is not None and self._calls > self._most_calls

    def _taken(self) -> tuple[TokenLogprob, ...]:
        taken = tuple(self._pending)
        self._pending.clear()
        return taken

    def _told(self, token: PieceToken) -> TokenLogprob:
        logprobs = token.logprobs
        if logprobs is None:
            return TokenLogprob(token.token, token.text, token.data, None)
        top = [(other, *self._shown[other], logprob) for other, logprob in logprobs.top]
        if top and all(other != token.token for other, *_ in top):
            top.append((token.token, token.text, token.data, logprobs.logprob))
        return TokenLogprob(token.token, token.text, token.data, logprobs.logprob, tuple(top))


def _by_token(piece: Piece) -> list[tuple[str, int]]:
    """The text of each token of a piece, so that those of the reasoning can be counted; the whole with the number of
    its tokens where they are not texts of their own (a character of several, text that was withheld)."""
    if len(piece.tokens) > 1 and "".join([token.text for token in piece.tokens]) == piece.text:
        return [(token.text, 1) for token in piece.tokens]
    return [(piece.text, len(piece.tokens))]
