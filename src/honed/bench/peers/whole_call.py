"""Whole calls of a library in place of a benchmark, where it brings none: what its users get from one call.

The prompt is a call for one new token, and what further tokens take is what a longer call takes beyond that. Nothing is
told of a token on the way, so that an adapter which is told shows what that costs. Runs in the measured process of a
system: the standard library alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

ROUNDS = 3
"""Calls of each length, in turn: what counts is a difference, which doubles the noise of each."""


def speeds(
    call: Callable[[int], None],
    *,
    sequences: int,
    prompt_tokens: int,
    new_tokens: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Tokens a second of all sequences together, as an `OwnTool` answers. call: of so many new tokens each."""
    call(new_tokens)
    short: list[float] = []
    further: list[float] = []
    for _ in range(ROUNDS):
        begin = clock()
        call(1)
        middle = clock()
        call(new_tokens)
        short.append(middle - begin)
        further.append(clock() - middle - short[-1])
    return {
        "prefill_tok_s": sequences * prompt_tokens / median(short),
        "decode_tok_s": sequences * (new_tokens - 1) / median(further),
    }
