"""How likely a model that generates holds a continuation of a prompt to be.

One sequence after the other, from an empty cache, and only rows of the continuation are scored. Not here: from texts to
tokens, and what is made of the numbers (tasks of evaluation, lm-eval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honed.backends.base import PAGE_TOKENS, Backend, Batch
from honed.backends.cache_turns import take_turn
from honed.backends.capacity import ring_tables
from honed.errors import HonedError, ParameterError

STEP_ROWS = 256
"""Token rows of a step."""


@dataclass(frozen=True)
class Likelihood:
    """logprob: natural logarithm of the probability of all tokens of the continuation. greedy: whether each of them is
    the most probable one. tokens: how many there are."""

    logprob: float
    greedy: bool
    tokens: int


def room(backend: Backend) -> int:
    """Tokens of the longest sequence that is scored."""
    return min(backend.context, backend.pages * PAGE_TOKENS)


def likelihood(backend: Backend, prompt: Sequence[int], continuation: Sequence[int]) -> Likelihood:
    """Of token ids after token ids; a prompt that leaves no room for them loses its beginning.

    Errors: ParameterError where the prompt is empty, or the continuation empty or longer than the cache; HonedError
    where logits are not finite.
    """
    if not prompt:
        raise ParameterError("prompt", "no tokens", "must have at least one: what follows nothing has no probability")
    limit = room(backend)
    if not 0 < len(continuation) <= limit:
        raise ParameterError("continuation", f"{len(continuation)} tokens", f"must have from 1 to {limit}")
    # The last token of the continuation is predicted and not fed.
    kept = [*prompt, *continuation][-(limit + 1) :]
    inputs, first = np.array(kept[:-1], dtype=np.int32), len(kept) - len(continuation) - 1
    targets = np.array(continuation, dtype=np.int64)
    if int(max(kept)) >= backend.vocabulary:
        raise HonedError(f"the tokenizer gives token {max(kept)}, and the model knows {backend.vocabulary}")
    tables = ring_tables(backend.page_groups, len(inputs))
    step = min(STEP_ROWS, backend.step_tokens)
    logprob, greedy = 0.0, True
    for begin in range(0, len(inputs), step):
        end = min(begin + step, len(inputs))
        scored = np.arange(max(begin, first), end)
        batch = Batch(
            tokens=np.ascontiguousarray(inputs[begin:end]),
            positions=np.arange(begin, end, dtype=np.int32),
            sequences=np.zeros(end - begin, dtype=np.int32),
            page_tables=tables,
            selected=(scored - begin).astype(np.int32),
        )
        take_turn(backend, batch)
        logits = backend.forward(batch)
        if len(scored) == 0:
            continue
        wide = logits.astype(np.float64)
        if not np.isfinite(wide).all():
            raise HonedError("the model gives logits that are not finite: an activation overflowed")
        wanted = targets[scored - first]
        top = wide.max(axis=1)
        rows = np.arange(len(scored))
        logprob += float((wide[rows, wanted] - top - np.log(np.exp(wide - top[:, None]).sum(axis=1))).sum())
        greedy &= bool((wide.argmax(axis=1) == wanted).all())
    return Likelihood(logprob, greedy, len(continuation))
