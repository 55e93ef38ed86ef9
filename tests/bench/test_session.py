from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from honed.bench import session
from honed.bench.contender import Contender, Skipped
from honed.bench.isolate import WorkerError
from honed.bench.measure import Sample
from honed.bench.peers.base import Footprint
from honed.bench.probes import Probe
from honed.bench.session import Measured, measure_all, measure_once
from honed.bench.workload import Workload

WORKLOAD = Workload(threads=2, runs=2, batch=3)


class Machine:
    """Stands in for processes: records what is run, in order."""

    def __init__(self, failing: dict[str, int]) -> None:
        self.order: list[str] = []
        self.failing = failing

    def measure_once(self, contender: Contender) -> Sample:
        self.order.append(contender.system)
        if self.order.count(contender.system) > self.failing.get(contender.system, 99):
            raise WorkerError("it broke")
        return Sample(1, 1, 1, 1, 1, len(self.order), None, "d", Footprint(4 << 20, 0, 0, 0, "other"), 1, 1)

    def probe(self, threads: int, weight_bytes: int) -> Probe:
        self.order.append(f"probe {threads} {weight_bytes >> 20}")
        return Probe(1, 1, 1)


def run(monkeypatch: pytest.MonkeyPatch, failing: dict[str, int], **settings: Any) -> tuple[Machine, list[Any]]:
    machine = Machine(failing)
    monkeypatch.setattr(session, "measure_once", machine.measure_once)
    monkeypatch.setattr(session, "probe", machine.probe)
    contenders = [
        Contender("a", "m", "", {}, (), None, WORKLOAD),
        Contender("b", "m", "", {}, (), None, WORKLOAD, variant="fast"),
    ]
    return machine, measure_all(contenders, **settings)


def test_systems_take_turns_and_each_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, results = run(monkeypatch, {})
    assert machine.order == ["a", "probe 2 4", "b", "probe 2 4"] * 2
    assert [isinstance(result, Measured) for result in results] == [True, True]
    assert [sample.peak_rss_bytes for sample in results[1].samples] == [3, 7]
    assert len(results[0].probes) == 2


def test_what_fails_is_skipped_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, results = run(monkeypatch, {"b": 0})
    assert machine.order.count("b") == 1
    assert isinstance(results[0], Measured)
    assert results[1] == Skipped("b", "m", "it broke", WORKLOAD)


def test_later_failure_leaves_the_others_all_their_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    _, results = run(monkeypatch, {"a": 1})
    assert results[0] == Skipped("a", "m", "it broke", WORKLOAD)
    assert len(results[1].samples) == WORKLOAD.runs


def test_failing_probe_loses_no_more_than_its_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine({})

    def probe(threads: int, weight_bytes: int) -> Probe:
        if machine.order[-1] == "b":
            raise WorkerError("no memory")
        return machine.probe(threads, weight_bytes)

    monkeypatch.setattr(session, "measure_once", machine.measure_once)
    monkeypatch.setattr(session, "probe", probe)
    a, b = measure_all([Contender(name, "m", "", {}, (), None, WORKLOAD) for name in "ab"])
    assert isinstance(a, Measured)
    assert len(a.samples) == len(a.probes) == WORKLOAD.runs
    assert b == Skipped("b", "m", "no memory", WORKLOAD)


def test_job_has_the_tokens_that_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[int] = []

    def call(function: str, job: dict[str, Any], **settings: Any) -> Any:
        jobs.append(job["new_tokens"])
        raise WorkerError("enough")

    monkeypatch.setattr(session, "call_isolated", call)
    for new_tokens in (None, 9):
        with pytest.raises(WorkerError):
            measure_once(Contender("a", "m", "", {}, (), None, WORKLOAD, new_tokens=new_tokens))
    assert jobs == [WORKLOAD.new_tokens, 9]


def test_cpus_are_busy_beside_measurements_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine({})

    @contextmanager
    def busy_cpus(count: int) -> Iterator[None]:
        machine.order.append(f"{count} busy")
        yield
        machine.order.append("none busy")

    monkeypatch.setattr(session, "busy_cpus", busy_cpus)
    monkeypatch.setattr(session, "measure_once", machine.measure_once)
    monkeypatch.setattr(session, "probe", machine.probe)
    labels: list[str] = []
    contenders = [Contender("a", "m", "", {}, (), None, replace(WORKLOAD, runs=1, busy=busy)) for busy in (0, 2)]
    measure_all(contenders, lambda done, total, label: labels.append(label))
    alone, beside = (machine.order[i : i + 4] for i in (0, 4))
    assert alone == ["0 busy", "a", "none busy", "probe 2 4"]
    assert beside == ["2 busy", "a", "none busy", "probe 2 4"]
    assert labels[1] == "a m: 512 prompt tokens, 3 together, 2 CPUs kept busy by others, run 1 of 1"


def test_progress_counts_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, str]] = []
    run(monkeypatch, {}, progress=lambda *call: calls.append(call))
    assert [(done, total) for done, total, _ in calls] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert calls[1][2] == "b fast m: 512 prompt tokens, 3 together, run 1 of 2"


def test_no_run_is_begun_after_the_end_and_all_have_as_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, results = run(monkeypatch, {}, until=lambda: True)
    assert machine.order == ["a", "probe 2 4", "b", "probe 2 4"]
    assert [len(result.samples) for result in results] == [1, 1]
