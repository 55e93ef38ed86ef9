"""A reply's text as what it is made of: reasoning, text, and tool calls. Not here: tokens, and stop strings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from honed.text.reasoning import Part, ReasoningSplitter, ReasoningTags
from honed.text.tool_calls.base import CallEvent, TextPart, ToolFormat


@dataclass(frozen=True)
class ReasoningPart:
    """More of the reasoning."""

    text: str


AnswerEvent = CallEvent | ReasoningPart


class AnswerParser:
    """Reads the text of one reply. What it says is the same however the text is cut, once parts are joined.

    Only what may become a tag or a marker, and white space that would go with it, is held back.
    """

    def __init__(
        self, reasoning: ReasoningTags | None, tool_format: ToolFormat | None, names: Collection[str] = ()
    ) -> None:
        """reasoning: the tags for this prompt (`ReasoningTags.after`), tool_format: where there are tools, whose names
        are `names`. None: that is left in the text."""
        self._splitter = None if reasoning is None else ReasoningSplitter(reasoning)
        self._calls = None if tool_format is None else tool_format.parser(names)

    @property
    def reasoning(self) -> bool:
        """Whether what was read last is reasoning, as far as is certain."""
        return self._splitter is not None and self._splitter.inside

    def feed(self, text: str) -> list[AnswerEvent]:
        """What is certain after more text, in order."""
        if self._splitter is None:
            return self._text(text)
        return self._parts(self._splitter.feed(text))

    def finish(self) -> list[AnswerEvent]:
        """The rest. Nothing may be fed after it."""
        events = [] if self._splitter is None else self._parts(self._splitter.finish())
        return events if self._calls is None else [*events, *self._calls.finish()]

    def _parts(self, parts: list[Part]) -> list[AnswerEvent]:
        events: list[AnswerEvent] = []
        for kind, text in parts:
            events += [ReasoningPart(text)] if kind == "reasoning" else self._text(text)
        return events

    def _text(self, text: str) -> list[AnswerEvent]:
        if self._calls is not None:
            return list(self._calls.feed(text))
        return [TextPart(text)] if text else []
