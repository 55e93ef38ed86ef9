"""What one reply adds to the metrics, the latencies and the list of requests."""

from __future__ import annotations

import time

from honed.server.history import History, RequestRecord
from honed.server.metrics import Metrics


class Account:
    """Of one call of `choices` choices. Every choice that is opened is closed once: accepted = success + failed."""

    def __init__(self, metrics: Metrics, history: History, record: RequestRecord, choices: int) -> None:
        self.record = record
        self._metrics = metrics.of(record.model)
        self._times = history.times(record.model)
        self._last: list[float | None] = [None] * choices
        self._open = choices
        self._metrics.accepted.inc(choices)
        self._metrics.prompt_tokens.inc(record.prompt_tokens)
        history.add(record)

    def started(self, cached: int) -> None:
        """The first choice is being computed."""
        if self.record.state == "queued":
            self.record.state = "running"
            self.record.cached_tokens = cached

    def tokens(self, index: int, count: int) -> None:
        """More tokens of a choice came now."""
        now = time.perf_counter()
        record, last = self.record, self._last[index]
        record.generated_tokens += count
        record.last = now
        self._times.add_tokens(count)
        self._metrics.generation_tokens.inc(count)
        if last is not None:
            between = (now - last) / count
            self._metrics.between_tokens.observe(between)
            self._times.inter_tokens.append(between)
        elif record.first is None:
            record.first = now
            self._metrics.first_token.observe(now - record.began)
            self._times.first_tokens.append(now - record.began)
        self._last[index] = now

    def ended(self, reason: str) -> None:
        """A choice has ended."""
        self._open -= 1
        self._metrics.success.labels(self.record.model, reason).inc()
        self.record.reason = reason

    def closed(self, failed: bool) -> None:
        """The reply is over; choices that have not ended were given up, or failed with it."""
        record = self.record
        if record.ended is not None:
            return
        record.ended = time.perf_counter()
        if failed:
            self._metrics.failed.inc(self._open)
            record.state = "failed"
        elif self._open:
            self._metrics.success.labels(record.model, "abort").inc(self._open)
            record.state = "aborted"
        else:
            record.state = "aborted" if record.reason == "abort" else "finished"
        self._open = 0
        self._metrics.whole.observe(record.seconds)
        if (rate := record.tokens_per_second) is not None:
            self._metrics.per_output_token.observe(1 / rate)
        record.cancel = None
