"""Completions as one document: what their stream says, put together; and the choice of the best of several."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from honed.server.exchange import Ended, ReasoningDelta, TextDelta, TokenLogprob
from honed.server.fields import Document
from honed.server.openai.fields import UsageDocument
from honed.server.openai.logprobs import completion_logprobs
from honed.server.openai.usage import finish_reason, usage_document
from honed.server.service import Reply


class CompletionChoice(Document):
    """One text."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class CompletionDocument(Document):
    """What /v1/completions gives."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[CompletionChoice]
    usage: UsageDocument


@dataclass
class _Choice:
    text: list[str] = field(default_factory=list)
    tokens: list[TokenLogprob] = field(default_factory=list)
    finish: str = "stop"
    generated: int = 0

    @property
    def mean_logprob(self) -> float:
        """Of the generated tokens; those of the prompt are the same for all."""
        found = [token.logprob or 0.0 for token in self.tokens[len(self.tokens) - self.generated :]]
        return sum(found) / len(found) if found else -math.inf

    def document(self, index: int, logprobs: bool) -> dict[str, Any]:
        return {
            "index": index,
            "text": "".join(self.text),
            "logprobs": completion_logprobs(self.tokens, 0)[0] if logprobs else None,
            "finish_reason": self.finish,
        }


async def whole_completion(
    reply: Reply, identifier: str, *, prompts: int, drawn: int, n: int, logprobs: bool
) -> dict[str, Any]:
    """The document, once the reply has ended: of each prompt the `n` best of the `drawn` choices."""
    choices = [_Choice() for _ in range(prompts * drawn)]
    try:
        while deltas := await reply.ready():
            for delta in deltas:
                match delta:
                    case TextDelta() | ReasoningDelta():
                        choices[delta.index].text.append(delta.text)
                        choices[delta.index].tokens += delta.tokens
                    case Ended():
                        choices[delta.index].finish = finish_reason(delta.reason)
                        choices[delta.index].generated = delta.usage.completion
    finally:
        await reply.aclose()
    kept: list[_Choice] = []
    for first in range(0, len(choices), drawn):
        group = choices[first : first + drawn]
        kept += group if n == drawn else sorted(group, key=lambda choice: -choice.mean_logprob)[:n]
    return {
        "id": identifier,
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "system_fingerprint": None,
        "choices": [choice.document(index, logprobs) for index, choice in enumerate(kept)],
        "usage": usage_document(reply.usage),
    }
