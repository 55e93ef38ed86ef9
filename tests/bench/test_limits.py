from __future__ import annotations

from dataclasses import replace

import pytest

from honed.bench.limits import limits
from honed.bench.peers.base import Arithmetic, Footprint
from honed.bench.probes import Probe
from honed.bench.workload import Workload

WORKLOAD = Workload(prompt_tokens=100, new_tokens=20)
PROBES = [Probe(9e9, 30e9, 12e9), Probe(10e9, 40e9, 10e9)]


def footprint(arithmetic: Arithmetic) -> Footprint:
    return Footprint(
        weight_bytes=90_000_000,
        kv_bytes_per_position=1000,
        prompt_operations=4_000_000,
        head_operations=1_000_000,
        arithmetic=arithmetic,
    )


def test_decode_is_bytes_over_the_best_bandwidth() -> None:
    assert limits(footprint("int8"), WORKLOAD, 110, PROBES).decode_tok_s == pytest.approx(10e9 / (90_000_000 + 110_000))


def test_batch_reads_weights_once_and_keys_of_each_sequence() -> None:
    batch = Workload(prompt_tokens=100, new_tokens=20, batch=4)
    found = limits(footprint("other"), batch, 110, PROBES)
    assert found.decode_tok_s == pytest.approx(4 * 10e9 / (90_000_000 + 4 * 110_000))


def test_batch_reads_the_experts_that_any_of_it_goes_to() -> None:
    """A quarter of 40 MB a token: two tokens miss nine sixteenths of the experts."""
    of_experts = replace(footprint("other"), expert_bytes=40_000_000, expert_share=0.25)
    assert of_experts.step_bytes(1) == 90_000_000
    assert of_experts.step_bytes(2) == pytest.approx(80_000_000 + 40_000_000 * 7 / 16)
    assert of_experts.step_bytes(4096) == pytest.approx(120_000_000)
    pair = Workload(prompt_tokens=100, new_tokens=20, batch=2)
    found = limits(of_experts, pair, 110, PROBES)
    assert found.decode_tok_s == pytest.approx(2 * 10e9 / (97_500_000 + 2 * 110_000))


def test_wide_batch_is_bounded_by_arithmetic() -> None:
    """5 million operations a token are reached before the bandwidth is."""
    wide = Workload(prompt_tokens=100, new_tokens=20, batch=4096)
    assert limits(footprint("float32"), wide, 110, PROBES).decode_tok_s == pytest.approx(12e9 / 5_000_000)
    assert limits(footprint("other"), wide, 110, PROBES).decode_tok_s > 12e9 / 5_000_000


@pytest.mark.parametrize(("arithmetic", "peak"), [("int8", 40e9), ("float32", 12e9)])
def test_prefill_is_operations_over_the_best_peak(arithmetic: Arithmetic, peak: float) -> None:
    found = limits(footprint(arithmetic), WORKLOAD, 110, PROBES)
    assert found.prefill_tok_s == pytest.approx(peak / (4_000_000 + 10_000))
    assert found.prefill_basis is not None
    assert found.prefill_basis.startswith(arithmetic)


def test_arithmetic_of_the_session_counts_and_its_bandwidth_does_not() -> None:
    found = limits(footprint("int8"), WORKLOAD, 110, PROBES, [*PROBES, Probe(99e9, 80e9, 12e9)])
    assert found.prefill_tok_s == pytest.approx(80e9 / (4_000_000 + 10_000))
    assert found.decode_tok_s == limits(footprint("int8"), WORKLOAD, 110, PROBES).decode_tok_s


def test_no_probe_no_limit() -> None:
    found = limits(footprint("other"), WORKLOAD, 110, PROBES)
    assert found.prefill_tok_s is None
    assert found.prefill_basis is None
