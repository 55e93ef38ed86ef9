"""How likely a model that generates holds a continuation of a prompt to be.

One sequence after the other, from an empty cache, and only rows of the continuation are scored. Not here: from texts to
tokens, and what is made of the numbers (tasks of evaluation, lm-eval).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


class Scorer:
    """Scores continuations by one backend. What a prompt shares with the one before it is not computed again, where
    every layer sees all of it: the bits are the same, as chunks of a prompt always are."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._fed = np.zeros(0, dtype=np.int32)
        groups = backend.page_groups
        self._keeps = len(groups) == 1 and groups[0].window is None

    def score(self, prompt: Sequence[int], continuation: Sequence[int]) -> Likelihood:
        """Of token ids after token ids; a prompt that leaves no room for them loses its beginning.

        Errors: ParameterError where the prompt is empty, or the continuation empty or longer than the cache; HonedError
        where logits are not finite.
        """
        backend = self.backend
        if not prompt:
            raise ParameterError("prompt", "no tokens", "must have one: what follows nothing has no probability")
        limit = room(backend)
        if not 0 < len(continuation) <= limit:
            raise ParameterError("continuation", f"{len(continuation)} tokens", f"must have from 1 to {limit}")
        # The last token of the continuation is predicted and not fed.
        kept = [*prompt, *continuation][-(limit + 1) :]
        inputs, first = np.array(kept[:-1], dtype=np.int32), len(kept) - len(continuation) - 1
        if int(max(kept)) >= backend.vocabulary:
            raise HonedError(f"the tokenizer gives token {max(kept)}, and the model knows {backend.vocabulary}")
        begin = self._shared(inputs, first)
        logprob, greedy = 0.0, True
        for rows, logits in self._logits(inputs, begin, first):
            wide = logits.astype(np.float64)
            if not np.isfinite(wide).all():
                raise HonedError("the model gives logits that are not finite: an activation overflowed")
            wanted = np.array(continuation, dtype=np.int64)[rows - first]
            top = wide.max(axis=1)
            chosen = wide[np.arange(len(rows)), wanted]
            logprob += float((chosen - top - np.log(np.exp(wide - top[:, None]).sum(axis=1))).sum())
            greedy &= bool((wide.argmax(axis=1) == wanted).all())
        self._fed = inputs
        return Likelihood(logprob, greedy, len(continuation))

    def _shared(self, inputs: NDArray[np.int32], first: int) -> int:
        """Rows at the beginning whose keys and values are there already; those that are scored are run."""
        if not take_turn(self.backend, self) or not self._keeps:
            return 0
        most = min(len(inputs), len(self._fed))
        same = inputs[:most] == self._fed[:most]
        # Until this is run, nothing is known of what the pages hold.
        self._fed = np.zeros(0, dtype=np.int32)
        return min(first, most if same.all() else int(same.argmin()))

    def _logits(
        self, inputs: NDArray[np.int32], begin: int, first: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Runs rows from `begin` on; of those from `first` on their numbers and logits, some at a time."""
        tables = ring_tables(self.backend.page_groups, len(inputs))
        step = min(STEP_ROWS, self.backend.step_tokens)
        for start in range(begin, len(inputs), step):
            end = min(start + step, len(inputs))
            scored = np.arange(max(start, first), end)
            logits = self.backend.forward(
                Batch(
                    tokens=np.ascontiguousarray(inputs[start:end]),
                    positions=np.arange(start, end, dtype=np.int32),
                    sequences=np.zeros(end - start, dtype=np.int32),
                    page_tables=tables,
                    selected=(scored - start).astype(np.int32),
                )
            )
            if len(scored):
                yield scored, logits


def likelihood(backend: Backend, prompt: Sequence[int], continuation: Sequence[int]) -> Likelihood:
    """`Scorer.score`, once."""
    return Scorer(backend).score(prompt, continuation)
