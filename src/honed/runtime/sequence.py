"""A request inside the engine: its tokens, how far they are computed, and the pages that hold that.

    tokens:   | prompt ............ | generated ...... | proposal
    computed: | in the cache ............ | to compute |
    pages:    | 0 .. 31 | 32 .. 63 | ...               |               held by way of the scheduler
                published |  private

The first `published` pages are complete and can be found by other sequences, or were found: they are never written.
The others are this sequence's alone. Where every layer sees a window only, the pages behind it are given back: the
first `released` entries of `pages` are then nobody's. Layers with a smaller window than others have pages of their own
in `windows`, an entry for each such window, which reach as far as rows were scheduled. After a preemption `computed`,
`published` and `released` are 0, `pages` and `windows` empty; the generated tokens stay and are computed again, or
found in the prefix cache.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

from honed.backends.base import PAGE_TOKENS
from honed.runtime.request import Request
from honed.runtime.sampling import Sampler

Place = Literal["nowhere", "waiting", "running"]


@dataclass(eq=False)
class WindowPages:
    """The pages of layers with one window. The first `released` entries are nobody's."""

    pages: array[int]
    released: int

    @property
    def held(self) -> array[int]:
        """The pages that the sequence holds."""
        return self.pages[self.released :]


@dataclass(eq=False)
class Sequence:
    """Mutable state of one request. What stands below `pages` is the scheduler's."""

    id: int
    request: Request
    limit: int
    """Tokens that may be generated: max_tokens, or less where context or cache end before."""
    sampler: Sampler
    tokens: list[int]
    computed: int = 0
    scored: int = 0
    """Rows of the prompt whose scores were reported, of a request that asks for them."""
    proposal: list[int] = field(default_factory=list)
    """Tokens that follow `tokens` if the model agrees; the next step computes as many of them as there is room for."""
    pages: array[int] = field(default_factory=lambda: array("i"))
    published: int = 0
    released: int = 0
    windows: list[WindowPages] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    """Of its first complete pages; never shortened, as tokens are never taken back."""
    place: Place = "nowhere"
    arrival: int = 0
    queued_at: float = 0.0
    started: bool = False
    """Whether it was ever admitted."""
    cached: int = 0
    """Tokens that were found in the prefix cache at its first admission."""
    awaits: Sequence | None = None
    """The sequence that computes the page it needs next, while it waits for that."""
    awaited: int = 0
    """How far `awaits` had come when that was looked at last."""
    patience: int = 0
    """How often it will still be looked at without progress."""

    @property
    def generated(self) -> int:
        """Tokens generated so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def to_compute(self) -> int:
        """Tokens that are not in the cache yet: 1 while decoding, more before and after a preemption."""
        return len(self.tokens) - self.computed

    @property
    def to_score(self) -> int:
        """Rows of the prompt whose scores are asked for and not reported yet."""
        if self.request.prompt_logprobs is None:
            return 0
        return len(self.request.prompt) - 1 - self.scored

    @property
    def key(self) -> tuple[int, int]:
        """By which sequences are ordered: the best priority first, then the oldest."""
        return self.request.priority, self.arrival

    @property
    def held(self) -> array[int]:
        """The pages that it holds."""
        return self.pages[self.released :]

    @property
    def capacity(self) -> int:
        """Positions up to which it has, or had, pages."""
        return len(self.pages) * PAGE_TOKENS
