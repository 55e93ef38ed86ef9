"""Which tokens of which sequences go into the next step. Not here: running it and choosing tokens (`engine.py`).

Continuous batching (Yu et al. 2022, Orca) over paged KV (Kwon et al. 2023): first a row for every sequence that
decodes, then chunks of prompts, then proposed tokens, as far as `step_tokens` go.

Sequences are admitted by priority, then in order of arrival, once the pages for all their present tokens are free, less
those that the prefix cache has; they get further pages as they grow. One whose next page is just being computed by
another one waits for that instead of computing it again. Pages that no row can see any more, because the layers that
share them have a window, go back at once; those of smaller windows are given with the rows that need them
(`window_pages.py`), and prompts get no more rows than there are such pages. When none is left, the youngest sequence of
the worst priority gives its pages up, waits in its old place in the queue, and is computed again, or found in the
prefix cache. The oldest of the best priority is never preempted and fits the cache alone, so every request comes to its
end.

Of the rows that prompts get in a step, a quarter goes to the oldest of them, so that none waits without end, and the
rest to those that have the least left, so that short ones pass long ones. Nothing of this changes what a request
generates.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from collections.abc import Sequence as Many
from itertools import chain

from honed.backends.base import PAGE_TOKENS, PageGroup
from honed.errors import QueueFullError, QueueTimeoutError
from honed.records import dataclass
from honed.runtime.batch import Chunk
from honed.runtime.pacing import StepPacing
from honed.runtime.pages import PageAllocator, first_seen, pages_for, replace_released
from honed.runtime.prefix import PrefixCache
from honed.runtime.sequence import Sequence
from honed.runtime.waiting import WaitingQueue
from honed.runtime.window_pages import Windows

_OLDEST_SHARE = 4
"""The oldest prompt gets one of so many rows at least."""


@dataclass(frozen=True)
class SchedulerStatistics:
    """What the scheduler has done so far, and holds now. Pages are those of the first group; prefix counts are in
    tokens, of first admissions."""

    running: int
    waiting: int
    pages: int
    free_pages: int
    cached_pages: int
    prefix_queries: int
    prefix_hits: int
    evictions: int
    preemptions: int
    timeouts: int
    refusals: int


class Scheduler:
    """Owns the queue, the running sequences (by priority, then order of arrival) and their pages."""

    def __init__(
        self,
        groups: Many[PageGroup],
        step_tokens: int,
        max_sequences: int,
        *,
        choices: int | None = None,
        max_waiting: int | None = None,
        step_seconds: float | None = None,
        prefix_cache: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """groups: as `Backend.page_groups`. choices: rows of one step whose logits are asked for, at most.

        max_waiting: requests beyond those that could run, at most; None: any number. step_seconds: that a step should
        take while sequences decode, for which prompts are cut shorter (`pacing.py`); None: prompts fill every step.
        prefix_cache: whether pages are shared.
        """
        first = groups[0]
        self._pages = PageAllocator(first.pages, first.enough)
        self._page_count = first.pages
        self._window = first.window
        self._windows = Windows(groups[1:], first.pages)
        self._step_tokens = step_tokens
        self._choices = step_tokens if choices is None else min(choices, step_tokens)
        self._max_sequences = min(max_sequences, self._choices)
        self._max_waiting = max_waiting
        self._pacing = None if step_seconds is None else StepPacing(step_seconds)
        self._prefix = PrefixCache(self._pages, self._windows) if prefix_cache else None
        self._clock = clock
        self._waiting = WaitingQueue()
        self._running: list[Sequence] = []
        self._arrivals = 0
        self._started: list[Sequence] = []
        self._timed_out: list[tuple[Sequence, QueueTimeoutError]] = []
        self._decode_rows = self._prompt_rows = 0
        self._preemptions = self._timeouts = self._refusals = 0

    @property
    def sequences(self) -> list[Sequence]:
        """All that are not finished, running ones first."""
        return [*self._running, *self._waiting]

    @property
    def running(self) -> list[Sequence]:
        """Those that have pages, by priority, then order of arrival. Not to be changed."""
        return self._running

    @property
    def free_pages(self) -> int:
        """Pages of the first group that no sequence holds."""
        return self._pages.free_pages

    @property
    def free_window_pages(self) -> tuple[int, ...]:
        """Likewise of each other group."""
        return self._windows.free_pages

    @property
    def statistics(self) -> SchedulerStatistics:
        """A snapshot."""
        return SchedulerStatistics(
            running=len(self._running),
            waiting=len(self._waiting),
            pages=self._page_count,
            free_pages=self._pages.free_pages,
            cached_pages=self._pages.cached_pages,
            prefix_queries=0 if self._prefix is None else self._prefix.queries,
            prefix_hits=0 if self._prefix is None else self._prefix.hits,
            evictions=self._pages.evictions,
            preemptions=self._preemptions,
            timeouts=self._timeouts,
            refusals=self._refusals,
        )

    def add(self, sequence: Sequence, now: float | None = None) -> None:
        """Puts a sequence into the queue. It must fit the cache alone. QueueFullError where too many wait.

        now: seconds of the clock that `schedule` is told, too.
        """
        places = max(0, self._max_sequences - len(self._running))
        if self._max_waiting is not None and len(self._waiting) >= self._max_waiting + places:
            self._refusals += 1
            raise QueueFullError(len(self._waiting), self._waiting.retry_seconds)
        sequence.arrival = self._arrivals
        self._arrivals += 1
        sequence.queued_at = self._clock() if now is None else now
        self._waiting.add(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it is, and frees its pages; those that are complete stay cached. One that was
        forgotten already, because its time was over, is left alone."""
        if sequence.place == "waiting":
            self._waiting.remove(sequence)
        elif sequence.place == "running":
            self._running.remove(sequence)
            self._vacate(sequence)

    def schedule(self, now: float | None = None) -> list[Chunk]:
        """The chunks of the next step; empty if nothing is left to do.

        Nothing counts as computed before `Chunk.advance`, so a step that failed can be scheduled again. Pages that
        a sequence completed are found by others from the next call on, or once it is removed.
        """
        if now is None:
            now = self._clock()
        self._settle()
        self._grow()
        if self._waiting:
            self._admit(now)
            self._expire(now)
        return self._share()

    def forget_contents(self) -> None:
        """Somebody else wrote to the pages: none is found again, and what runs is computed anew."""
        for sequence in self._running:
            sequence.computed = min(sequence.computed, sequence.published * PAGE_TOKENS)
        while self._running:
            self._preempt()
        self._pages.forget()
        self._windows.forget()

    def note_step(self, seconds: float) -> None:
        """Tells what the step took that was scheduled last, for `step_seconds`."""
        if self._pacing is not None:
            self._pacing.note(self._decode_rows, self._prompt_rows, seconds)

    def take_started(self) -> list[Sequence]:
        """Sequences that were admitted for the first time since the last call; `Sequence.cached` tokens were found."""
        started, self._started = self._started, []
        return started

    def take_timed_out(self) -> list[tuple[Sequence, QueueTimeoutError]]:
        """Sequences that `schedule` took out of the queue since the last call, because their time was over."""
        timed_out, self._timed_out = self._timed_out, []
        return timed_out

    def check_integrity(self) -> None:
        """AssertionError unless pages are consistent: each running sequence has those it needs, waiting ones none, and
        what is shared is complete, is what its digest says, and will not be written."""
        self._pages.check_integrity(chain.from_iterable(sequence.held for sequence in self._running))
        self._waiting.check_integrity()
        assert len(self._running) <= self._max_sequences, "too many sequences run"
        keys = [sequence.key for sequence in self._running]
        assert keys == sorted(set(keys)), "the running sequences are not in order"
        assert not any(sequence.pages for sequence in self._waiting), "a waiting sequence holds pages"
        for sequence in self._running:
            assert sequence.place == "running", "a sequence that runs does not know it"
            assert sequence.computed <= sequence.capacity, "computed past its pages"
            assert sequence.published * PAGE_TOKENS <= sequence.computed, "a page is shared that is not complete"
            private = sequence.pages[max(sequence.published, sequence.released) :]
            assert all(map(self._pages.is_private, private)), "a page will be written that is shared"
        self._windows.check_integrity(self._running, self._waiting)
        if self._prefix is not None:
            self._prefix.check_integrity(self._running)

    def _settle(self) -> None:
        """Publishes what the last step completed, and frees pages behind the window and those that were for proposals
        which the model did not take."""
        for sequence in self._running:
            if self._prefix is not None:
                self._prefix.publish(sequence)
            if self._window is not None:
                unseen = first_seen(sequence.computed, self._window)
                sequence.released = replace_released(self._pages, sequence.pages, sequence.released, unseen)
            if self._windows:
                self._windows.settle(sequence)
            needed = -(-len(sequence.tokens) // PAGE_TOKENS)
            if len(sequence.pages) > needed:
                self._pages.free(sequence.pages[needed:])
                del sequence.pages[needed:]

    def _grow(self) -> None:
        """Gives every running sequence pages for all its tokens, the first ones first, at the cost of the last. Of the
        smaller windows, for its next row."""
        index = 0
        while index < len(self._running):
            sequence = self._running[index]
            missing = pages_for(len(sequence.tokens)) - len(sequence.pages)
            if missing > 0 and not self._pages.can_allocate(missing):
                self._preempt()
                continue
            if self._windows and not self._windows.extend(sequence, 1):
                self._preempt()
                continue
            if missing > 0:
                sequence.pages.extend(self._pages.allocate(missing))
            index += 1

    def _preempt(self) -> None:
        sequence = self._running.pop()
        self._vacate(sequence)
        self._waiting.add(sequence)
        self._preemptions += 1

    def _vacate(self, sequence: Sequence) -> None:
        """Takes the pages of a sequence that runs no longer; the last ones will be evicted first."""
        if self._prefix is not None:
            self._prefix.end(sequence)
        self._pages.free(reversed(sequence.held))
        self._windows.vacate(sequence)
        sequence.pages = array("i")
        sequence.computed = sequence.published = sequence.released = 0
        sequence.place = "nowhere"

    def _admit(self, now: float) -> None:
        """Admits from the head of the queue. One that waits for a page of another sequence keeps a place free, and lets
        those behind it pass; one that does not find pages lets nobody pass, as it would never find them then."""
        places = self._max_sequences - len(self._running)
        index = 0
        while places > 0 and index < len(self._waiting):
            sequence = self._waiting[index]
            places -= 1
            found = [] if self._prefix is None else self._prefix.lookup(sequence)
            if found is None:
                index += 1
                continue
            if not self._seat(sequence, found):
                return
            self._waiting.admit(index, now)
            self._run(sequence)

    def _seat(self, sequence: Sequence, found: list[int]) -> bool:
        """Gives it the pages that were found and new ones for the rest of its tokens, if there are enough."""
        missing = pages_for(len(sequence.tokens)) - len(found)
        if not self._pages.can_allocate(missing + self._pages.unheld(found)):
            return False
        if self._windows and not self._windows.fits(sequence, len(found), self._running):
            return False
        self._pages.hold(found)
        sequence.pages = array("i", found)
        sequence.pages.extend(self._pages.allocate(missing))
        self._windows.seat(sequence, len(found))
        sequence.published = len(found)
        sequence.computed = len(found) * PAGE_TOKENS
        return True

    def _run(self, sequence: Sequence) -> None:
        sequence.place = "running"
        self._running.append(sequence)
        if len(self._running) > 1 and self._running[-2].key > sequence.key:
            self._running.sort(key=lambda running: running.key)
        if self._prefix is not None:
            self._prefix.begin(sequence)
        if not sequence.started:
            sequence.started = True
            sequence.cached = sequence.computed
            self._started.append(sequence)

    def _expire(self, now: float) -> None:
        for sequence in self._waiting.expire(now):
            self._timed_out.append((sequence, QueueTimeoutError(now - sequence.queued_at)))
            self._timeouts += 1

    def _share(self) -> list[Chunk]:
        """Splits the rows of a step: decoding first, so that a long prompt does not stall the others."""
        chunks: list[Chunk] = []
        prompts: list[Sequence] = []
        proposing: list[Chunk] = []
        for sequence in self._running:
            if len(sequence.tokens) - sequence.computed > 1 or sequence.to_score > 0:
                prompts.append(sequence)
                continue
            chunk = Chunk(sequence, 1)
            chunks.append(chunk)
            if sequence.proposal:
                proposing.append(chunk)
        self._decode_rows = len(chunks)
        self._prompt_rows = 0
        if prompts:
            chunks += self._prompt_chunks(prompts, len(chunks))
            self._prompt_rows = sum([chunk.count for chunk in chunks]) - self._decode_rows
        if proposing:
            self._propose(chunks, proposing)
        return chunks

    def _prompt_chunks(self, prompts: list[Sequence], decoding: int) -> list[Chunk]:
        left = self._step_tokens - decoding
        if decoding and self._pacing is not None:
            left = min(left, self._pacing.prompt_rows(decoding))
        oldest = min(prompts, key=lambda sequence: sequence.arrival)
        kept = min(oldest.to_compute, -(-left // _OLDEST_SHARE))
        left -= kept
        # Everybody in the step may complete, and then has one row selected.
        spare = self._choices - decoding - len(prompts)
        chunks = []
        for sequence in sorted(prompts, key=lambda sequence: (sequence.request.priority, sequence.to_compute)):
            own = kept if sequence is oldest else 0
            count = min(sequence.to_compute, left + own)
            if count and self._windows:
                count = self._windows.room(sequence, count)
            if count:
                chunk = _chunk(sequence, count, spare)
                self._windows.extend(sequence, chunk.count)
                spare -= max(0, chunk.selected - 1)
                left -= chunk.count - own
                chunks.append(chunk)
        return chunks

    def _propose(self, chunks: list[Chunk], proposing: list[Chunk]) -> None:
        """Adds proposed tokens to chunks, as far as there is room that nobody else asks for, alike to all."""
        rows = self._step_tokens - self._decode_rows - self._prompt_rows
        room = min(rows, self._choices - sum([chunk.selected for chunk in chunks]))
        for behind, chunk in zip(range(len(proposing), 0, -1), proposing, strict=True):
            sequence = chunk.sequence
            # As many tokens are chosen as are proposed, and one more.
            count = min(len(sequence.proposal), sequence.limit - sequence.generated - 1, -(-room // behind))
            if self._windows:
                count = self._windows.room(sequence, 1 + count) - 1
            missing = pages_for(len(sequence.tokens) + count) - len(sequence.pages)
            if missing > 0 and not self._pages.can_allocate(missing):
                missing = 0
                count = sequence.capacity - len(sequence.tokens)
            if count <= 0:
                continue
            sequence.pages.extend(self._pages.allocate(max(0, missing)))
            self._windows.extend(sequence, 1 + count)
            first = sequence.computed // PAGE_TOKENS
            assert all(map(self._pages.is_private, sequence.pages[first:])), (
                "a proposal would be written to shared pages"
            )
            chunk.proposed = tuple(sequence.proposal[:count])
            room -= count


def _chunk(sequence: Sequence, count: int, spare: int) -> Chunk:
    """A chunk of at most `count` tokens that has at most `spare` + 1 rows selected."""
    unscored = sequence.to_score
    if unscored <= 0:
        return Chunk(sequence, count)
    first = max(0, sequence.scored - sequence.computed)
    if count - first > spare and unscored > spare:
        count = min(count, first + spare + 1)
    return Chunk(sequence, count, scored=range(min(first, count), min(count, first + unscored)))


def head_start(sequences: int, prompt_tokens: int, step_tokens: int) -> int:
    """Tokens by which the first of `sequences` requests is ahead of the last one when that has its first token.

    Of requests that arrive together with prompts of one length, nothing in common, as many as fit a step at most, and
    pages for all.
    """
    total = sequences * prompt_tokens
    computed = ahead = 0
    while computed < total:
        # Prompts are computed in order of arrival, with what those that are done leave of a step.
        decoding = computed // prompt_tokens
        computed += step_tokens - decoding
        ahead += decoding > 0
    return ahead
