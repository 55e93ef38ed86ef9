"""Usage and finish reasons as OpenAI's routes write them."""

from __future__ import annotations

from typing import Any

from honed.server.exchange import StopReason, Usage


def usage_document(usage: Usage) -> dict[str, Any]:
    """Counts, with the details that are always there."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def finish_reason(reason: StopReason) -> str:
    """Clients' types know no word for a request that was cancelled: it ends as one that was stopped."""
    return "stop" if reason == "abort" else reason
