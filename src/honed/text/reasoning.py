"""Reasoning before an answer: which tags a model puts around it, and a stream of text split at them.

Not here: tool calls (`text/tool_calls/`), and both together (`text/answer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from honed.records import dataclass
from honed.text.spellings import Spellings
from honed.text.tokenizer import Tokenizer

KNOWN_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<reasoning>", "</reasoning>"),
)
"""As Qwen 3 and DeepSeek R1, others in their manner, Seed-OSS, Magistral, and Command A Reasoning have them."""

_SPACE = " \t\r\n"


@dataclass(frozen=True)
class ReasoningTags:
    """tokens: those of the two that are control tokens, by their spelling. opened: the prompt ends inside of the
    reasoning, because the template itself wrote the tag that opens it."""

    opening: str
    closing: str
    tokens: Mapping[str, int]
    opened: bool = False

    @property
    def visible(self) -> frozenset[int]:
        """Tokens that have to be written out although they are control tokens: the splitter reads them."""
        return frozenset(self.tokens.values())

    def after(self, prompt: str) -> ReasoningTags:
        """The tags for what follows a rendered prompt."""
        opened = prompt.rstrip(_SPACE).endswith(self.opening)
        return ReasoningTags(self.opening, self.closing, self.tokens, opened)


def detect_reasoning(template: str | None, tokenizer: Tokenizer) -> ReasoningTags | None:
    """The tags that a chat template or a vocabulary has; None: the model does not reason apart."""
    spelled = {token.content: token_id for token_id, token in tokenizer.added.items()}
    for opening, closing in KNOWN_TAGS:
        # A template need not write the tags: many leave them to the model.
        if closing in (template or "") or (opening in spelled and closing in spelled):
            return ReasoningTags(opening, closing, control_tokens(tokenizer, (opening, closing)))
    return None


def control_tokens(tokenizer: Tokenizer, spellings: tuple[str, ...]) -> dict[str, int]:
    """Which of the spellings are control tokens, and their ids."""
    return {
        token.content: token_id
        for token_id, token in tokenizer.added.items()
        if token.special and token.content in spellings
    }


Part = tuple[Literal["text", "reasoning"], str]


class ReasoningSplitter:
    """Splits a stream, wherever the borders of the pieces fall. Reasoning that is not closed stays reasoning.

    White space around the tags belongs to neither part. No more is held back than what may become a tag, and the white
    space before it.
    """

    def __init__(self, tags: ReasoningTags) -> None:
        self._opening = tags.opening
        self._closing = tags.closing
        self._tags = Spellings((tags.opening, tags.closing))
        self._held = ""
        self._after_tag = True
        """Whether white space is left out as that after a tag; at the start, so that none is kept before one."""
        self._started = tags.opened
        self.inside = tags.opened
        """Whether what comes next is reasoning."""

    def feed(self, text: str) -> list[Part]:
        """What is certain, in order."""
        parts: list[Part] = []
        text = self._held + text
        start = 0
        for place, tag in self._tags.places(text):
            if place < start:
                continue
            self._give(parts, text[start:place], before_tag=True)
            self.inside = tag == self._opening
            self._after_tag = self._started = True
            start = place + len(tag)
        rest = text[start:]
        sure = len(rest) - self._tags.begun_at_the_end(rest)
        # White space goes with the tag that may follow it: always in reasoning, and before anything else came.
        certain = rest[:sure].rstrip(_SPACE)
        if self.inside or not (self._started or certain):
            sure = len(certain)
        self._give(parts, rest[:sure], before_tag=False)
        self._held = rest[sure:]
        return parts

    def finish(self) -> list[Part]:
        """What was held back. Nothing may be fed after it."""
        parts: list[Part] = []
        self._give(parts, self._held, before_tag=False)
        self._held = ""
        return parts

    def _give(self, parts: list[Part], text: str, *, before_tag: bool) -> None:
        if self._after_tag and self._started:
            text = text.lstrip(_SPACE)
        if before_tag and (self.inside or not (self._started or text.strip(_SPACE))):
            text = text.rstrip(_SPACE)
        if text:
            self._after_tag = False
            self._started = True
            parts.append(("reasoning" if self.inside else "text", text))
