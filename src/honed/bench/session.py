"""Runs all contenders of a benchmark, interleaved, and keeps every raw value. What is shown is `bench/report.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.bench.contender import Contender, Skipped
from honed.bench.isolate import WorkerError, call_isolated
from honed.bench.measure import Sample
from honed.bench.probes import Probe, probe
from honed.bench.workload import Workload

Progress = Callable[[int, int, str], None]
"""Called with processes done, processes in all, and what runs now."""


@dataclass(frozen=True)
class Measured:
    """All samples of one contender, and a probe of the machine taken right after each."""

    contender: Contender
    samples: tuple[Sample, ...]
    probes: tuple[Probe, ...]


def measure_all(
    contenders: Sequence[Contender], workload: Workload, progress: Progress | None = None
) -> list[Measured | Skipped]:
    """One process for each contender and run, contender after contender within a run, so that a drift of the machine
    falls on all of them alike. A peer that fails is skipped from then on; honed failing raises WorkerError."""
    samples: list[list[Sample]] = [[] for _ in contenders]
    probes: list[list[Probe]] = [[] for _ in contenders]
    failed: dict[int, Skipped] = {}
    total = workload.runs * len(contenders)
    for run in range(workload.runs):
        for index, contender in enumerate(contenders):
            if progress is not None:
                label = f"{contender.system} {contender.model}, run {run + 1} of {workload.runs}"
                progress(run * len(contenders) + index, total, label)
            if index in failed:
                continue
            try:
                sample = measure_once(contender, workload)
            except WorkerError as error:
                if not contender.is_peer:
                    raise
                failed[index] = Skipped(contender.system, contender.model, str(error))
                continue
            samples[index].append(sample)
            probes[index].append(probe(workload.threads, sample.footprint.weight_bytes))
    if progress is not None:
        progress(total, total, "done")
    return [
        failed.get(index) or Measured(contender, tuple(samples[index]), tuple(probes[index]))
        for index, contender in enumerate(contenders)
    ]


def measure_once(contender: Contender, workload: Workload) -> Sample:
    """One sample, from one fresh process."""
    job = {
        "open_function": contender.open_function,
        "arguments": dict(contender.arguments),
        "prompt": list(contender.prompt),
        "new_tokens": workload.new_tokens,
    }
    answer = call_isolated("honed.bench.measure:measure_in_worker", job, environment=contender.environment)
    return Sample.from_json(answer)
