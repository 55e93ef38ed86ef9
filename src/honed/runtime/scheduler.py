"""Which tokens of which sequences go into the next step. Not here: running it and choosing tokens (`engine.py`).

Continuous batching (Yu et al. 2022, Orca) over paged KV (Kwon et al. 2023): first a row for every sequence that
decodes, then chunks of prompts in order of arrival, as far as `step_tokens` go. Sequences are admitted in order of
arrival once the pages for all their present tokens are free, and get further pages as they grow. When none is left,
the sequence admitted last gives its pages up, waits at the head of the queue, and is computed again. The oldest is
never preempted and fits the cache alone, so every request comes to its end.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable

from honed.backends.base import PlainBatch
from honed.records import dataclass
from honed.runtime.pages import PageAllocator, pages_for
from honed.runtime.sequence import Sequence


@dataclass(frozen=True)
class Chunk:
    """The next `count` tokens of a sequence."""

    sequence: Sequence
    count: int

    @property
    def completes(self) -> bool:
        """Whether the sequence is computed to its end by this chunk, so that a token can be chosen."""
        return self.count == self.sequence.to_compute


class Scheduler:
    """Owns the queue, the running sequences (by order of arrival) and their pages."""

    def __init__(self, pages: int, step_tokens: int, max_sequences: int) -> None:
        self._pages = PageAllocator(pages)
        self._step_tokens = step_tokens
        self._max_sequences = min(max_sequences, step_tokens)
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []

    @property
    def sequences(self) -> list[Sequence]:
        """All that are not finished, running ones first."""
        return [*self._running, *self._waiting]

    @property
    def free_pages(self) -> int:
        """Pages that no sequence holds."""
        return self._pages.free_pages

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence at the end of the queue. It must fit the cache alone."""
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it is, and frees its pages."""
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)
        self._release(sequence)

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step; empty if nothing is left to do.

        Nothing counts as computed before `Chunk.sequence.computed` is advanced, so a step that failed can be
        scheduled again.
        """
        self._grow()
        self._admit()
        return self._share()

    def check_integrity(self) -> None:
        """AssertionError unless pages are consistent: each running sequence has those it needs, waiting ones none."""
        self._pages.check_integrity()
        held = [page for sequence in self._running for page in sequence.pages]
        assert len(held) == len(set(held)), "two sequences hold one page"
        assert not any(sequence.pages for sequence in self._waiting), "a waiting sequence holds pages"
        assert all(sequence.computed <= sequence.capacity for sequence in self._running), "computed past its pages"

    def _grow(self) -> None:
        """Gives every running sequence pages for all its tokens, the oldest first, at the cost of the youngest."""
        for sequence in list(self._running):
            while sequence in self._running:
                missing = pages_for(len(sequence.tokens)) - len(sequence.pages)
                if self._pages.can_allocate(missing):
                    sequence.pages += self._pages.allocate(missing)
                    break
                self._preempt()

    def _preempt(self) -> None:
        sequence = self._running.pop()
        self._release(sequence)
        self._waiting.appendleft(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._pages.free(sequence.pages)
        sequence.pages = []
        sequence.computed = 0

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._max_sequences:
            sequence = self._waiting[0]
            needed = pages_for(len(sequence.tokens))
            if not self._pages.can_allocate(needed):
                return
            self._waiting.popleft()
            sequence.pages = self._pages.allocate(needed)
            self._running.append(sequence)

    def _share(self) -> list[Chunk]:
        """Splits the tokens of a step: decoding first, so that a long prompt does not stall the others."""
        left = self._step_tokens
        chunks = []
        # The sort is stable: order of arrival within both groups.
        for sequence in sorted(self._running, key=lambda sequence: sequence.to_compute > 1):
            count = min(sequence.to_compute, left)
            if count:
                chunks.append(Chunk(sequence, count))
                left -= count
        return chunks


def head_start(sequences: int, prompt_tokens: int, step_tokens: int) -> int:
    """Tokens by which the first of `sequences` requests is ahead of the last one when that has its first token.

    Of requests that arrive together with prompts of one length, as many as fit a step at most, and pages for all.
    """
    total = sequences * prompt_tokens
    computed = ahead = 0
    while computed < total:
        # Prompts are computed in order of arrival, with what those that are done leave of a step.
        decoding = computed // prompt_tokens
        computed += step_tokens - decoding
        ahead += decoding > 0
    return ahead


def make_batch(chunks: Iterable[Chunk]) -> PlainBatch:
    """The batch of a step. Logits are selected for the chunks that complete, in their order."""
    chunks = list(chunks)
    width = max(len(chunk.sequence.pages) for chunk in chunks)
    # Entries past a sequence's pages are never read; 0 is a page that always exists.
    tables = array("i")
    tokens, positions, sequences, selected = array("i"), array("i"), array("i"), array("i")
    for row, chunk in enumerate(chunks):
        sequence = chunk.sequence
        end = sequence.computed + chunk.count
        tables.extend(sequence.pages + [0] * (width - len(sequence.pages)))
        tokens.extend(sequence.tokens[sequence.computed : end])
        positions.extend(range(sequence.computed, end))
        sequences.extend([row] * chunk.count)
        if chunk.completes:
            selected.append(len(tokens) - 1)
    return PlainBatch(
        tokens=memoryview(tokens),
        positions=memoryview(positions),
        sequences=memoryview(sequences),
        page_tables=memoryview(tables).cast("B").cast("i", (len(chunks), width)),
        selected=memoryview(selected),
    )
