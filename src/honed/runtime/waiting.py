"""The queue of sequences that wait for pages and a place, by priority and then by arrival. Not here: who is admitted
when (`scheduler.py`)."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Iterator

from honed.runtime.sequence import Sequence

LONGEST_RETRY = 120
"""Seconds that a client is told to stay away at most."""

_NEWEST = 0.2
"""Weight of the newest interval between two admissions in their mean."""


class WaitingQueue:
    """Ordered by `Sequence.key`: one that was preempted is thereby back before all that came after it."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[int, int], Sequence]] = []
        self._deadlines: list[tuple[float, int, Sequence]] = []
        self._left_at: float | None = None
        self._interval: float | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for _, sequence in self._entries)

    def __getitem__(self, index: int) -> Sequence:
        return self._entries[index][1]

    def add(self, sequence: Sequence) -> None:
        """Puts a sequence in its place. The time that it may wait counts from `queued_at`, until it starts."""
        insort(self._entries, (sequence.key, sequence))
        sequence.place = "waiting"
        seconds = sequence.request.queue_seconds
        if seconds is not None and not sequence.started:
            heapq.heappush(self._deadlines, (sequence.queued_at + seconds, sequence.arrival, sequence))

    def remove(self, sequence: Sequence) -> None:
        """Takes a sequence out that is in the queue."""
        self._take(bisect_left(self._entries, (sequence.key,)))
        if len(self._deadlines) > 64 + 2 * len(self._entries):
            # Whoever left is only skipped when its time is over, which may be far away.
            self._deadlines = [entry for entry in self._deadlines if self._is_due(entry[2])]
            heapq.heapify(self._deadlines)

    def admit(self, index: int, now: float) -> None:
        """Takes the sequence at an index out, whose turn it is, and notes how fast the queue moves."""
        if self._left_at is not None:
            passed = max(0.0, now - self._left_at)
            self._interval = passed if self._interval is None else self._interval + _NEWEST * (passed - self._interval)
        self._take(index)
        # Time without a queue says nothing about how fast one moves.
        self._left_at = now if self._entries else None

    def expire(self, now: float) -> list[Sequence]:
        """Takes those out that have waited for their first admission longer than they may."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            sequence = heapq.heappop(self._deadlines)[2]
            if self._is_due(sequence):
                self._take(bisect_left(self._entries, (sequence.key,)))
                expired.append(sequence)
        return expired

    @property
    def retry_seconds(self) -> int:
        """In which half of the queue will have been admitted, going by the last admissions; from 1 to 120."""
        seconds = (self._interval or 0.0) * (len(self._entries) + 1) / 2
        return min(LONGEST_RETRY, max(1, math.ceil(seconds)))

    def check_integrity(self) -> None:
        """AssertionError unless the queue is in order and all in it know that they are."""
        keys = [key for key, _ in self._entries]
        assert keys == sorted(set(keys)), "the queue is not in order"
        assert all(key == sequence.key for key, sequence in self._entries), "a sequence changed its place"
        assert all(sequence.place == "waiting" for sequence in self), "a sequence in the queue does not wait"

    def _take(self, index: int) -> None:
        self._entries.pop(index)[1].place = "nowhere"

    @staticmethod
    def _is_due(sequence: Sequence) -> bool:
        return sequence.place == "waiting" and not sequence.started
