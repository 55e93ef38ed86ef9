"""A server under mixed load for a while, watched: does what it holds stay flat, and do its counters add up?

Several plans run at once (`bench/load/drive.py`), while memory, descriptors and threads of the server's process are
noted. What is looked at is the difference between an early part of the run and its end, after a first part in which
caches fill. Not here: starting the server, and the command (studies/soak.py).
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from honed.bench.load.connection import Address, ServerError, send
from honed.bench.load.drive import Measured, Outcome, drive
from honed.bench.load.plan import LoadPlan
from honed.bench.load.process import Holdings, holdings

WARM_SHARE = 0.25
"""Of the run, in which caches may still fill."""
GROWTH_BYTES = 32 << 20
GROWTH_SHARE = 0.03
"""Of memory, after the warm part: the larger of both is allowed."""
SPARE_THREADS = 8
"""Pools are filled by and by, as more is asked for at one moment."""
SPARE_DESCRIPTORS = 8
"""Beyond those before the load, once it is over: sockets that are about to be closed."""
IDLE_SECONDS = 60.0
"""So long the server may take to be idle after the last answer."""
_SAMPLE = re.compile(r"^honed:(\w+?)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
_REASON = re.compile(r'finished_reason="(\w+)"')


@dataclass(frozen=True)
class Counters:
    """What a server says of the choices that it was asked for; `ended` by finish reason, aborted ones among them."""

    accepted: int
    failed: int
    ended: dict[str, int]
    running: int
    waiting: int
    kv_use: float

    @property
    def unaccounted(self) -> int:
        """Accepted ones that neither ended nor failed."""
        return self.accepted - self.failed - sum(self.ended.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self.unaccounted or self.running or self.waiting)

    @staticmethod
    def of(text: str) -> Counters:
        """Reads the text of /metrics; all models together."""
        sums: dict[str, float] = {}
        ended: dict[str, int] = {}
        for name, labels, value in _SAMPLE.findall(text):
            if name == "request_success_total" and (reason := _REASON.search(labels)):
                ended[reason[1]] = ended.get(reason[1], 0) + int(float(value))
            sums[name] = sums.get(name, 0.0) + float(value)
        return Counters(
            accepted=int(sums.get("request_accepted_total", 0)),
            failed=int(sums.get("request_failed_total", 0)),
            ended=ended,
            running=int(sums.get("num_requests_running", 0)),
            waiting=int(sums.get("num_requests_waiting", 0)),
            kv_use=sums.get("kv_cache_usage_perc", 0.0),
        )


@dataclass(frozen=True)
class Sample:
    """What the server held `seconds` after the start."""

    seconds: float
    held: Holdings


@dataclass(frozen=True)
class Soak:
    """What came of it. before, after: what the server held at rest. samples: meanwhile."""

    seconds: float
    outcomes: tuple[Outcome, ...]
    before: Holdings
    after: Holdings
    samples: tuple[Sample, ...]
    counters: Counters

    def count(self, fate: str) -> int:
        """Requests of a kind that ended as they should."""
        return sum(outcome.fate == fate and outcome.error is None for outcome in self.outcomes)

    @property
    def faults(self) -> list[str]:
        """What is wrong, a sentence each; none: it passed."""
        found = [f"a request failed: {text}" for text in dict.fromkeys(o.error for o in self.outcomes if o.error)][:5]
        counters, early, late = self.counters, self._part(first=True), self._part(first=False)
        if not early or not late:
            return [*found, "it was too short to say anything of what the server holds"]
        grown = statistics.median(s.held.resident for s in late) - statistics.median(s.held.resident for s in early)
        allowed = max(GROWTH_BYTES, GROWTH_SHARE * statistics.median(s.held.resident for s in early))
        if grown > allowed:
            found.append(f"memory grew by {grown / 2**20:.0f} MiB, over the {allowed / 2**20:.0f} MiB allowed")
        if max(s.held.threads for s in late) > max(s.held.threads for s in early) + SPARE_THREADS:
            found.append("threads grew")
        if self.after.descriptors > self.before.descriptors + SPARE_DESCRIPTORS:
            found.append(f"descriptors: {self.before.descriptors} before and {self.after.descriptors} after")
        if not counters.idle:
            found.append(f"not all that was accepted has ended: {counters}")
        if counters.kv_use:
            found.append(f"{counters.kv_use:.3f} of the KV cache is still held")
        if counters.failed:
            found.append(f"the server counts {counters.failed} failed choices")
        whole = self.count("whole")
        told = sum(count for reason, count in counters.ended.items() if reason != "abort")
        broken = sum(outcome.fate == "cancel" for outcome in self.outcomes)
        if not whole <= told <= whole + broken:
            found.append(f"{whole} whole replies came, and the server counts {told}")
        return found

    def to_json(self) -> dict[str, Any]:
        """For a JSON object: counts, what was held every while, and the verdict."""
        step = max(1, len(self.samples) // 60)
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.outcomes),
            "finished": self.count("whole"),
            "broken_off": self.count("cancel"),
            "refused": self.count("invalid"),
            "tokens": sum(outcome.new_tokens or len(outcome.pieces) for outcome in self.outcomes),
            "counters": asdict(self.counters),
            "before": asdict(self.before),
            "after": asdict(self.after),
            "samples": [{"seconds": round(s.seconds, 1), **asdict(s.held)} for s in self.samples[::step]],
            "faults": self.faults,
        }

    def _part(self, *, first: bool) -> list[Sample]:
        """Samples of the first, or of the last, fifth of what follows the warm part."""
        start = WARM_SHARE * self.seconds
        fifth = (self.seconds - start) / 5
        low, high = (start, start + fifth) if first else (self.seconds - fifth, self.seconds)
        return [sample for sample in self.samples if low <= sample.seconds <= high]


async def soak(
    address: Address,
    pid: int,
    plans: Sequence[LoadPlan],
    model: str,
    *,
    key: str | None = None,
    every: float = 1.0,
    tell: Callable[[Sample, int], None] = lambda sample, requests: None,
) -> Soak:
    """Runs the plans together against a server that has done nothing yet, whose process is `pid`. tell: each sample.

    Errors: those of `drive`, and MachineError where the process is gone."""
    # A request of each kind first, which loads the model.
    first = [await drive(address, _one(plan), model, key=key) for plan in plans]
    before = holdings(pid)
    began = time.perf_counter()
    samples: list[Sample] = []
    done = [0] * len(plans)

    async def watch() -> None:
        while True:
            samples.append(Sample(time.perf_counter() - began, holdings(pid)))
            tell(samples[-1], sum(done))
            await asyncio.sleep(every)

    async def run(number: int, plan: LoadPlan) -> Measured:
        def progress(count: int, _: int) -> None:
            done[number] = count

        return await drive(address, plan, model, key=key, progress=progress)

    watching = asyncio.ensure_future(watch())
    load = asyncio.gather(*(run(number, plan) for number, plan in enumerate(plans)))
    try:
        await asyncio.wait((watching, load), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()  # raises: the process is gone
        measured = await load
        seconds = time.perf_counter() - began
    finally:
        watching.cancel()
        load.cancel()
    # Each use of a plan asks once before it begins, for one token.
    asked = [Outcome("whole", began) for _ in (*first, *plans)]
    counters = await _rested(address, key)
    outcomes = [*asked, *(outcome for each in (*first, *measured) for outcome in each.outcomes)]
    return Soak(seconds, tuple(outcomes), before, holdings(pid), tuple(samples), counters)


def _one(plan: LoadPlan) -> LoadPlan:
    return replace(plan, requests=1, cancel=0.0, invalid=0.0, seconds=None)


async def counters_of(address: Address, key: str | None = None) -> Counters:
    """What the server says now."""
    answer = await send(address, "GET", "/metrics", key=key)
    try:
        if answer.status != 200:
            raise ServerError(f"/metrics answers with status {answer.status}")
        return Counters.of((await answer.body()).decode())
    finally:
        answer.close()


async def _rested(address: Address, key: str | None) -> Counters:
    """The counters once nothing is under way any more, or after so long that something is wrong."""
    end = time.perf_counter() + IDLE_SECONDS
    while not (found := await counters_of(address, key)).idle or found.kv_use:
        if time.perf_counter() > end:
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)
    return found
