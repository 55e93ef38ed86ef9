"""The verdict of a soak: what is flat passes, what grows or does not add up is named."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from honed.bench.load.drive import Outcome
from honed.bench.load.process import Holdings, holdings
from honed.bench.load.soak import Counters, Sample, Soak
from honed.errors import MachineError

METRICS = """# HELP honed:request_accepted_total Choices.
honed:request_accepted_total{model_name="m"} 4.0
honed:request_success_total{finished_reason="length",model_name="m"} 2.0
honed:request_success_total{finished_reason="abort",model_name="m"} 1.0
honed:request_failed_total{model_name="m"} 1.0
honed:num_requests_running{model_name="m"} 0.0
honed:kv_cache_usage_perc{model_name="m"} 0.25
"""
FLAT = Holdings(100 << 20, 20, 8)
COUNTERS = Counters(accepted=3, failed=0, ended={"length": 2, "abort": 1}, running=0, waiting=0, kv_use=0.0)
GOOD = Soak(
    seconds=100.0,
    outcomes=(Outcome("whole", 0), Outcome("whole", 0), Outcome("cancel", 0), Outcome("invalid", 0)),
    before=FLAT,
    after=FLAT,
    samples=tuple(Sample(float(second), FLAT) for second in range(100)),
    counters=COUNTERS,
)


def test_counters_are_read() -> None:
    found = Counters.of(METRICS)
    assert found == Counters(accepted=4, failed=1, ended={"length": 2, "abort": 1}, running=0, waiting=0, kv_use=0.25)
    assert found.unaccounted == 0
    assert found.idle


def test_what_is_flat_passes() -> None:
    assert GOOD.faults == []
    assert GOOD.to_json()["faults"] == []


def grown(**late: int) -> tuple[Sample, ...]:
    return tuple(Sample(float(s), replace(FLAT, **late) if s > 60 else FLAT) for s in range(100))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (replace(GOOD, samples=grown(resident=200 << 20)), "memory grew by 100 MiB"),
        (replace(GOOD, samples=grown(threads=17)), "threads grew"),
        (replace(GOOD, after=replace(FLAT, descriptors=60)), "descriptors: 20 before and 60 after"),
        (replace(GOOD, counters=replace(COUNTERS, accepted=4)), "not all that was accepted has ended"),
        (replace(GOOD, counters=replace(COUNTERS, kv_use=0.1)), "KV cache is still held"),
        (replace(GOOD, counters=replace(COUNTERS, failed=1, accepted=4)), "1 failed choices"),
        (replace(GOOD, outcomes=GOOD.outcomes[1:]), None),
        (replace(GOOD, outcomes=(*GOOD.outcomes, Outcome("whole", 0))), "3 whole replies came"),
        (replace(GOOD, outcomes=(*GOOD.outcomes, Outcome("invalid", 0, error="no"))), "a request failed: no"),
        (replace(GOOD, samples=()), "too short"),
    ],
)
def test_what_is_wrong_is_named(bad: Soak, said: str | None) -> None:
    # One that was broken off may have ended before the server knew.
    assert any(said in fault for fault in bad.faults) if said else not bad.faults


def test_holdings_are_those_of_the_process() -> None:
    before = holdings(os.getpid())
    assert before.resident > 1 << 20
    assert before.threads >= 1
    files = [open(os.devnull) for _ in range(5)]  # noqa: PTH123, SIM115 - closed below
    assert holdings(os.getpid()).descriptors == before.descriptors + 5
    for file in files:
        file.close()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(MachineError):
        holdings(ended.pid)
