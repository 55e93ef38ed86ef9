"""The last requests, and how fast they were: what the page and `/requests` show. Counts and times only, no text.

A caller sees its own requests and nobody else's. Not here: Prometheus (`server/metrics.py`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

KEPT = 100
"""Requests of one key."""
SAMPLES = 4096
POINTS = 300
"""Seconds that the charts go back."""
State = Literal["queued", "running", "finished", "failed", "aborted"]


@dataclass(eq=False)
class RequestRecord:
    """One call that was admitted. Times are those of time.perf_counter, `created` is of time.time.

    began: when it came, before its prompt was made. first, last: when the first and the last tokens came. cancel: ends
    it."""

    request_id: str
    key: str
    model: str
    route: str
    prompt_tokens: int
    cancel: Callable[[], None] | None = None
    created: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)
    state: State = "queued"
    cached_tokens: int = 0
    generated_tokens: int = 0
    first: float | None = None
    last: float | None = None
    ended: float | None = None
    reason: str | None = None

    @property
    def seconds(self) -> float:
        """To the end, or to now."""
        return (self.ended or time.perf_counter()) - self.began

    @property
    def first_token_seconds(self) -> float | None:
        """None before the first token."""
        return None if self.first is None else self.first - self.began

    @property
    def tokens_per_second(self) -> float | None:
        """Of the tokens after the first."""
        if self.first is None or self.last is None or self.last <= self.first or self.generated_tokens < 2:
            return None
        return (self.generated_tokens - 1) / (self.last - self.first)


@dataclass(frozen=True)
class Percentiles:
    """Of the latest samples, in seconds; None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None

    @staticmethod
    def of(samples: Sequence[float]) -> Percentiles:
        """By the nearest rank."""
        if not samples:
            return Percentiles(None, None, None)
        ordered = sorted(samples)
        return Percentiles(*(ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95, 0.99)))


class Times:
    """Latencies of one model: the latest ones, and how many tokens came in each of the last seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.first_tokens: deque[float] = deque(maxlen=SAMPLES)
        self.inter_tokens: deque[float] = deque(maxlen=SAMPLES)
        self._seconds: deque[list[int]] = deque(maxlen=POINTS)
        """[second, tokens], in ascending order."""

    def add_tokens(self, count: int) -> None:
        """So many came now."""
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])

    def tokens_per_second(self, window: int = 5) -> float:
        """The mean of the last whole seconds."""
        now = int(self._clock())
        return sum(tokens for second, tokens in self._seconds if now - window <= second < now) / window

    def points(self) -> list[int]:
        """Tokens of each of the last `POINTS` seconds, the latest last."""
        now = int(self._clock())
        by_second = {entry[0]: entry[1] for entry in self._seconds}
        return [by_second.get(second, 0) for second in range(now - POINTS, now)]


class History:
    """Of all callers."""

    def __init__(self) -> None:
        self._by_key: dict[str, deque[RequestRecord]] = {}
        self._times: dict[str, Times] = {}

    def times(self, model: str) -> Times:
        """Of a model by its first name."""
        return self._times.setdefault(model, Times())

    def add(self, record: RequestRecord) -> None:
        """The newest one of its caller. What still runs is kept beyond `KEPT`."""
        kept = self._by_key.setdefault(record.key, deque())
        kept.append(record)
        if len(kept) > KEPT:
            old = next((found for found in kept if found.ended is not None), None)
            if old is not None:
                kept.remove(old)

    def of(self, key: str) -> list[RequestRecord]:
        """A caller's, the newest first."""
        return list(reversed(self._by_key.get(key, ())))

    def find(self, key: str, request_id: str) -> RequestRecord | None:
        """A caller's request by its id."""
        return next((record for record in self.of(key) if record.request_id == request_id), None)

    def ended(self, model: str) -> list[RequestRecord]:
        """Those of a model that are over, whoever asked."""
        return [
            record
            for kept in self._by_key.values()
            for record in kept
            if record.model == model and record.ended is not None
        ]
