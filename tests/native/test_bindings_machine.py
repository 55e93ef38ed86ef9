"""What the machine is said to be, the choice of the instruction set, and the probes of its limits."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from native_plans import executor, native
from test_bindings_plan import make


def test_features() -> None:
    found = native.features()
    assert set(found) == {
        "architecture",
        "model",
        "instruction_sets",
        "online_cpus",
        "physical_cores",
        "allowed_cpus",
        "cgroup_quota",
        "caches",
    }
    assert 1 <= found["physical_cores"] <= found["online_cpus"] == os.cpu_count()
    assert found["allowed_cpus"] == len(os.sched_getaffinity(0))
    assert all(cache["bytes"] > 0 and cache["level"] in (1, 2, 3, 4) for cache in found["caches"])


def test_default_threads_follows_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= native.default_threads() <= len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert native.default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_portable_is_always_there_and_last() -> None:
    assert native.isas()[-1] == "portable"
    assert len(set(native.isas())) == len(native.isas())


def test_the_best_set_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONED_ISA", raising=False)
    assert executor(make()).isa == native.isas()[0]
    monkeypatch.setenv("HONED_ISA", "portable")
    assert executor(make()).isa == "portable"
    assert executor(make(), isa=native.isas()[0]).isa == native.isas()[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("amx", "is not on this machine|is on this machine, but|is not compiled into this build"),
        ("sse9", "is not an instruction set"),
        ("neon", "not compiled|not on this"),
    ],
)
def test_a_set_that_is_not_here(name: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in native.isas():
        pytest.skip("this machine has it")
    with pytest.raises(ValueError, match=f"isa = '{name}' .*({reason}).*; available here: .*portable"):
        executor(make(), isa=name)
    monkeypatch.setenv("HONED_ISA", name)
    with pytest.raises(ValueError, match=f"HONED_ISA = '{name}'"):
        executor(make())


@pytest.mark.parametrize("isa", native.isas())
def test_probes_measure_something(isa: str) -> None:
    assert 1e8 < native.measure_read_bandwidth(1, 4, 0.02, isa) < 1e13
    assert 1e7 < native.measure_integer_peak(1, 0.02, isa) < 1e15


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: native.measure_read_bandwidth(0, 1, 0.1), "threads = 0"),
        (lambda: native.measure_read_bandwidth(1, 0, 0.1), "mebibytes = 0"),
        (lambda: native.measure_read_bandwidth(1, 2**50, 0.1), "mebibytes = "),
        (lambda: native.measure_read_bandwidth(1, 1, float("nan")), "seconds = "),
        (lambda: native.measure_integer_peak(1, -1.0), "seconds = "),
        (lambda: native.measure_integer_peak(1, 0.1, "sse9"), "isa = 'sse9'"),
    ],
)
def test_probes_out_of_range(call: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
