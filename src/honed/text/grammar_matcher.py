"""A compiled grammar, and the state of one request in it. Not here: how one is compiled (`text/grammar.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import llguidance
import numpy as np
from numpy.typing import NDArray

from honed.errors import UnsupportedError


class CompiledGrammar:
    """Safe for threads. warnings: what is not held to, for the log."""

    def __init__(
        self,
        matcher: llguidance.LLMatcher,
        vocabulary: int,
        words: int,
        warnings: tuple[str, ...] = (),
        *,
        grows: bool = False,
    ) -> None:
        """`matcher` has consumed nothing and is never changed; `words`: of a mask of its tokenizer. grows: whether its
        automaton takes more memory with what is generated."""
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._words = words
        self.warnings = warnings
        self.grows = grows

    def matcher(self) -> GrammarMatcher:
        """The state of a new request, before its first token. Takes microseconds."""
        return GrammarMatcher(self._matcher.deep_copy(), self._vocabulary, self._words)

    def with_warnings(self, warnings: Sequence[str]) -> CompiledGrammar:
        """The same grammar, of which more has to be said."""
        return CompiledGrammar(
            self._matcher, self._vocabulary, self._words, (*self.warnings, *warnings), grows=self.grows
        )


class GrammarMatcher:
    """A `honed.runtime.constraint.Constraint`. What goes wrong in the middle of a request (a limit of the library that
    no check foresaw) is an UnsupportedError of that request."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: int, words: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._words = words

    def masks(self, proposal: Sequence[int]) -> NDArray[np.uint32]:
        """As the protocol says. The lock of the interpreter is free meanwhile."""
        rows = np.zeros((1 + len(proposal), self._words), np.uint32)
        taken = 0
        for row in rows:
            self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
            self._check()
            # What the library would read and what it lets be chosen differ: text that is forced is chosen in the
            # tokens that the tokenizer makes of it.
            if taken == len(proposal) or not self._has(row, proposal[taken]) or self._matcher.is_stopped():
                break
            self.accept(proposal[taken])
            taken += 1
        if taken and not self._matcher.rollback(taken):
            self._check()
        rows = rows[: 1 + taken, : (self._vocabulary + 31) // 32]
        if last := self._vocabulary % 32:
            rows[:, -1] &= np.uint32(2**last - 1)
        return rows

    def accept(self, token: int) -> None:
        """As the protocol says. A token that is not allowed: UnsupportedError."""
        if not self._matcher.consume_token(token):
            self._check()
            raise UnsupportedError(f"token {token} is not one that the grammar allows here")

    def forced(self) -> list[int]:
        """As the protocol says."""
        if self._matcher.is_stopped():
            return []
        return self._matcher.compute_ff_tokens()

    @property
    def ended(self) -> bool:
        """As the protocol says."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def _has(self, row: NDArray[np.uint32], token: int) -> bool:
        return 0 <= token < self._vocabulary and bool(int(row[token >> 5]) >> (token & 31) & 1)

    def _check(self) -> None:
        if self._matcher.is_error():
            problem = problem_in(self._matcher.get_error())
            raise UnsupportedError(f"the grammar of this request is too complex to go on with: {problem}")


def problem_in(message: str) -> str:
    """What a message of the library says of the grammar, without the excerpt of it that it shows."""
    lines = [line.strip() for line in message.replace("<non-verbose/>", "").strip().splitlines()]
    reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return "; ".join([*lines[:1], *reasons])
