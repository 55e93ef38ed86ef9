"""Measurements as a session returns them, with speeds that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence

from honed.bench.contender import Contender
from honed.bench.measure import Sample
from honed.bench.peers.base import Footprint
from honed.bench.probes import Probe
from honed.bench.session import Measured
from honed.bench.workload import Workload

WORKLOAD = Workload(prompt_tokens=100, new_tokens=11, threads=2, runs=3)


def measured(
    system: str,
    speed: float,
    *,
    prefill: float | None = None,
    factors: Sequence[float] = (1.0, 0.5, 1.25),
    workload: Workload = WORKLOAD,
    variant: str = "",
) -> Measured:
    """A run for each factor of `speed`; decode limit 100 tokens a second, prefill limit 1000."""
    samples = tuple(
        Sample(
            load_s=0.5 * factor,
            start_to_first_token_s=2.0 * factor,
            prefill_s=1.0 / ((prefill or speed) * factor),
            decode_s=1.0 / (speed * factor),
            decoded=10,
            peak_rss_bytes=int(1e8 * factor),
            isa="avx2",
            dtype="int8",
            footprint=Footprint(1_000_000, 3, 1_000_000, 0, "int8"),
            decode_position=workload.prompt_tokens + workload.new_tokens / 2,
            positions=workload.batch * workload.positions,
        )
        for factor in factors
    )
    contender = Contender(system, "m", "x:y", {}, (), 12_000_000, workload, variant=variant)
    return Measured(contender, samples, (Probe(1e8, 1e9, 1e9), Probe(0.5e8, 0.5e9, 1e9), Probe(0.9e8, 1e9, 1e9)))
