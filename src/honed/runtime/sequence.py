"""A request inside the engine: its tokens, how far they are computed, and the pages that hold that.

    tokens:   | prompt ............ | generated ...... |
    computed: | in the cache ............ | to compute |
    pages:    | 0 .. 31 | 32 .. 63 | ...  |               owned by the scheduler, which frees them

After a preemption `computed` is 0 and `pages` empty; the generated tokens stay and are computed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from honed.backends.base import PAGE_TOKENS
from honed.runtime.request import Request
from honed.runtime.sampling import Sampler


@dataclass(eq=False)
class Sequence:
    """Mutable state of one request."""

    id: int
    request: Request
    limit: int
    """Tokens that may be generated: max_tokens, or less where context or cache end before."""
    sampler: Sampler
    tokens: list[int]
    computed: int = 0
    pages: list[int] = field(default_factory=list)

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def to_compute(self) -> int:
        """Tokens that are not in the cache yet: 1 while decoding, more before and after a preemption."""
        return len(self.tokens) - self.computed

    @property
    def capacity(self) -> int:
        """Positions that its pages hold."""
        return len(self.pages) * PAGE_TOKENS
