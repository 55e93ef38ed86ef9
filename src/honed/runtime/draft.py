"""Guesses at the next tokens by a second, smaller model with the same vocabulary (speculative decoding, Leviathan et
al. 2023). It is greedy, whatever the request is: the guesses are checked, not sampled from.

Not here: how many guesses are worth their time (`speculation.py`).
"""

from __future__ import annotations

import time
from collections.abc import Container
from collections.abc import Sequence as Many

from honed.backends.base import PAGE_TOKENS, Backend, RowChoice
from honed.runtime.batch import Chunk, make_batch
from honed.runtime.logits_chooser import chooser_of
from honed.runtime.pages import PageAllocator, pages_for
from honed.runtime.sequence import Sequence
from honed.runtime.step_costs import StepCosts
from honed.runtime.window_pages import Windows

_ARGMAX = RowChoice()


class _Draft(Sequence):
    """What was computed for a sequence: its tokens, which may go on with guesses."""

    agreeing = 0
    """So many of its tokens are those of the sequence, whatever became of the guesses."""


class DraftModel:
    """A model beside that of the engine, with a cache of its own, in which each sequence has pages of its own. Where
    they run out, whoever was guessed for least recently loses them, and is computed again if it comes back."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._chooser = chooser_of(backend)
        first, *others = backend.page_groups
        self._pages = PageAllocator(first.pages)
        self._windows = Windows(others, first.pages)
        self._drafts: dict[int, _Draft] = {}
        """Of each sequence, the least recent first."""
        self._costs = StepCosts()
        self.seconds = 0.0
        """What it has taken so far."""

    @property
    def vocabulary(self) -> int:
        """Of the model."""
        return self._backend.vocabulary

    def step_seconds(self, sequences: int) -> float:
        """What a guess for each of so many sequences takes; 0 before it was ever measured."""
        return self._costs.seconds(sequences)

    def guess(self, sequences: Many[Sequence], width: int) -> list[list[int]]:
        """`width` tokens for each sequence; none for one that does not fit, or whose tokens it has not all computed
        yet, of which one call computes no more than a batch."""
        started = time.perf_counter()
        drafts: dict[int, _Draft] = {}
        for sequence in sequences[: self._chooser.choices]:
            draft = self._draft(sequence, width, drafts)
            if draft is not None:
                drafts[sequence.id] = draft
        room = self._backend.step_tokens
        chunks: list[Chunk] = []
        for draft in drafts.values():
            if room:
                chunks.append(Chunk(draft, min(draft.to_compute, room, self._most_rows(width))))
                room -= chunks[-1].count
        for _ in range(width):
            chunks = self._advance(chunks)
        self.seconds += time.perf_counter() - started
        return [
            drafts[sequence.id].tokens[len(sequence.tokens) :] if sequence.id in drafts else []
            for sequence in sequences
        ]

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        draft = self._drafts.pop(sequence.id, None)
        if draft is not None:
            self._pages.free(draft.pages)
            self._windows.vacate(draft)

    def check_integrity(self, ids: Container[int]) -> None:
        """AssertionError unless every page is free or held once, for a sequence that is among these."""
        assert all(number in ids for number in self._drafts), "pages are kept for a sequence that has ended"
        self._pages.check_integrity([page for draft in self._drafts.values() for page in draft.pages])
        self._windows.check_integrity([*self._drafts.values()], ())

    def _advance(self, chunks: list[Chunk]) -> list[Chunk]:
        """Computes chunks. Those of the next guess, of the drafts that have one now."""
        if not chunks:
            return []
        started = time.perf_counter()
        self._chooser.compute(make_batch(chunks))
        complete = [chunk for chunk in chunks if chunk.completes]
        choices = self._chooser.choose([_ARGMAX] * len(complete)) if complete else []
        for chunk in chunks:
            chunk.advance()
        following = []
        for chunk, chosen in zip(complete, choices, strict=True):
            if chosen.error is None:
                chunk.sequence.tokens.append(chosen.token)
                following.append(Chunk(chunk.sequence, 1))
        if all(chunk.count == 1 for chunk in chunks):
            self._costs.note(len(chunks), time.perf_counter() - started)
        return following

    def _draft(self, sequence: Sequence, width: int, others: Container[int]) -> _Draft | None:
        """With the tokens of the sequence, as far computed as it was, and pages for `width` guesses; None where those
        cannot be had but from `others`."""
        draft = self._drafts.pop(sequence.id, None)
        if draft is None:
            draft = _Draft(sequence.id, sequence.request, sequence.limit, sequence.sampler, [])
            self._windows.begin(draft)
        self._drafts[sequence.id] = draft  # the most recent now
        tokens, known, agreeing = sequence.tokens, draft.tokens, draft.agreeing
        while agreeing < min(len(known), len(tokens)) and known[agreeing] == tokens[agreeing]:
            agreeing += 1
        known[agreeing:] = tokens[agreeing:]
        draft.agreeing = len(tokens)
        draft.computed = min(draft.computed, agreeing, len(tokens) - 1)
        if len(tokens) + width > min(self._backend.context, self._backend.pages * PAGE_TOKENS):
            self.forget(sequence)
            return None
        # What it computed is never less than now, as tokens of a sequence stay: pages behind the window may go.
        self._windows.settle(draft)
        missing = pages_for(len(tokens) + width) - len(draft.pages)
        rows = min(draft.to_compute, self._most_rows(width)) + width
        while (missing > 0 and not self._pages.can_allocate(missing)) or not self._windows.extend(draft, rows):
            oldest = next(iter(self._drafts.values()))
            if oldest is draft or oldest.id in others:
                self.forget(sequence)
                return None
            self.forget(oldest)
        draft.pages.extend(self._pages.allocate(max(0, missing)))
        return draft

    def _most_rows(self, width: int) -> int:
        """Of one sequence in a batch: those of its guesses are to find pages of a window that are made for a batch."""
        most = self._backend.step_tokens
        return max(1, most - width) if self._windows else most
