"""Runs all contenders of a benchmark, interleaved, and keeps every raw value. What is shown is `bench/report.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from honed.bench.competitors import busy_cpus
from honed.bench.contender import Contender, Skipped
from honed.bench.isolate import call_isolated
from honed.bench.measure import Sample
from honed.bench.probes import Probe, probe
from honed.errors import HonedError

Progress = Callable[[int, int, str], None]
"""Called with processes done, processes in all, and what runs now."""


@dataclass(frozen=True)
class Measured:
    """All samples of one contender, and a probe of the machine taken right after each."""

    contender: Contender
    samples: tuple[Sample, ...]
    probes: tuple[Probe, ...]


def measure_all(
    contenders: Sequence[Contender], progress: Progress | None = None, *, until: Callable[[], bool] = lambda: False
) -> list[Measured | Skipped]:
    """One process for each contender and run, contender after contender within a run, so that a drift of the machine
    falls on all of them alike. What keeps CPUs busy for a workload does so beside measurements, not beside probes.

    The contenders have workloads of the same number of runs. One that fails is skipped from then on, and the others
    go on. No run is begun once `until` says that time is up, but the first is always made: the contenders
    then have fewer samples each, and all of them the same number.
    """
    samples: list[list[Sample]] = [[] for _ in contenders]
    probes: list[list[Probe]] = [[] for _ in contenders]
    failed: dict[int, Skipped] = {}
    runs = max((contender.workload.runs for contender in contenders), default=0)
    total = runs * len(contenders)
    for run in range(runs):
        if run and until():
            break
        for index, contender in enumerate(contenders):
            if progress is not None:
                progress(run * len(contenders) + index, total, f"{_label(contender)}, run {run + 1} of {runs}")
            if index in failed:
                continue
            try:
                with busy_cpus(contender.workload.busy):
                    sample = measure_once(contender)
                reading = probe(contender.workload.threads, sample.footprint.weight_bytes)
            except HonedError as error:
                failed[index] = Skipped(contender.system, contender.model, str(error), contender.workload)
                continue
            samples[index].append(sample)
            probes[index].append(reading)
    if progress is not None:
        progress(total, total, "done")
    return [
        failed.get(index) or Measured(contender, tuple(samples[index]), tuple(probes[index]))
        for index, contender in enumerate(contenders)
    ]


def measure_once(contender: Contender) -> Sample:
    """One sample, from one fresh process."""
    job = {
        "open_function": contender.open_function,
        "arguments": dict(contender.arguments),
        "prompts": [list(prompt) for prompt in contender.prompts],
        "new_tokens": contender.timed_tokens,
    }
    answer = call_isolated(
        "honed.bench.measure:measure_in_worker",
        job,
        interpreter=contender.interpreter,
        environment=contender.environment,
    )
    return Sample.from_json(answer)


def _label(contender: Contender) -> str:
    workload = contender.workload
    together = f", {workload.batch} together" if workload.batch > 1 else ""
    variant = f" {contender.variant}" if contender.variant else ""
    busy = f", {workload.busy_label}" if workload.busy else ""
    return f"{contender.system}{variant} {contender.model}: {workload.prompt_tokens} prompt tokens{together}{busy}"
