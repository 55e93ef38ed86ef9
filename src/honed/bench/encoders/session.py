"""Runs all contenders of a benchmark of encoders, interleaved, and keeps every raw value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honed.bench.encoders.contender import EncodeContender, EncodeSkipped
from honed.bench.encoders.measure import EncodeSample
from honed.bench.isolate import call_isolated
from honed.bench.session import Progress
from honed.errors import HonedError


@dataclass(frozen=True)
class EncodeMeasured:
    """All samples of one contender."""

    contender: EncodeContender
    samples: tuple[EncodeSample, ...]


def measure_encoders(
    contenders: Sequence[EncodeContender], progress: Progress | None = None
) -> list[EncodeMeasured | EncodeSkipped]:
    """One process for each contender and run, contender after contender within a run, so that a drift of the machine
    falls on all of them alike. One that fails is skipped from then on, and the others go on."""
    samples: list[list[EncodeSample]] = [[] for _ in contenders]
    failed: dict[int, EncodeSkipped] = {}
    runs = max((contender.workload.runs for contender in contenders), default=0)
    for run in range(runs):
        for index, contender in enumerate(contenders):
            if progress is not None:
                label = f"{contender.system} {contender.model}: {contender.workload.label}, run {run + 1} of {runs}"
                progress(run * len(contenders) + index, runs * len(contenders), label)
            if index in failed:
                continue
            try:
                samples[index].append(_measure_once(contender))
            except HonedError as error:
                failed[index] = EncodeSkipped(contender.system, contender.model, str(error), contender.workload)
    return [
        failed.get(index) or EncodeMeasured(contender, tuple(samples[index]))
        for index, contender in enumerate(contenders)
    ]


def _measure_once(contender: EncodeContender) -> EncodeSample:
    job = {
        "open_function": contender.open_function,
        "arguments": dict(contender.arguments),
        "texts": [list(text) for text in contender.texts],
        "seconds": contender.workload.seconds,
    }
    answer = call_isolated(
        "honed.bench.encoders.measure:measure_in_worker",
        job,
        interpreter=contender.interpreter,
        environment=contender.environment,
    )
    return EncodeSample.from_json(answer)
