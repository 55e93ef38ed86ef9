"""Logarithms of probabilities as OpenAI's two routes write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from honed.server.exchange import TokenLogprob

LEAST = -9999.0
"""What minus infinity is written as: JSON has no such number."""


def finite(logprob: float) -> float:
    """The number, or the one that stands for minus infinity."""
    return logprob if math.isfinite(logprob) else LEAST


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """`logprobs` of a choice of a chat: each token with the most probable ones."""
    return {"content": [_entry(token) for token in tokens], "refusal": None}


def _entry(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.text,
        "logprob": finite(token.logprob if token.logprob is not None else 0.0),
        "bytes": list(token.data),
        "top_logprobs": [
            {"token": text, "logprob": finite(logprob), "bytes": list(data)} for _, text, data, logprob in token.top
        ],
    }


def completion_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> tuple[dict[str, Any], int]:
    """`logprobs` of a choice of a completion, and the offset in the text after it. offset: of its first token."""
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [None if token.logprob is None else finite(token.logprob) for token in tokens],
        "top_logprobs": [
            None if token.logprob is None else {text: finite(logprob) for _, text, _, logprob in reversed(token.top)}
            for token in tokens
        ],
        "text_offset": offsets,
    }, offset
