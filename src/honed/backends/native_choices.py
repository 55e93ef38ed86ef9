"""What the extension says of a chosen token, as the `Choice` that every backend gives."""

from __future__ import annotations

from typing import Any

from honed.backends.base import Choice, Logprobs
from honed.backends.choice_errors import bad_token, none_allowed, not_finite


def told(token: int, outcome: tuple[Any, ...], vocabulary: int) -> Choice:
    """Of one entry beside the tokens: see `Executor.choose` in `_native.pyi`."""
    match outcome:
        case ("not finite", count, place, value):
            return Choice(-1, None, not_finite(count, vocabulary, place, value))
        case ("none allowed",):
            return Choice(-1, None, none_allowed())
        case ("bad token", field, bad):
            return Choice(-1, None, bad_token(field, bad, vocabulary))
    logprob, top, rank = outcome
    return Choice(token, Logprobs(logprob, top, rank), None)
