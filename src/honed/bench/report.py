"""What a benchmark found: rows, ratios and JSON. Not here: text (`table.py`) and drawing (`plot.py`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from honed.bench.contender import Skipped
from honed.bench.limits import Limits, limits
from honed.bench.machine import machine
from honed.bench.measure import Sample
from honed.bench.probes import Probe
from honed.bench.ratio import Ratio, paired_ratio
from honed.bench.session import Measured
from honed.bench.workload import Workload

OWN = "honed"
OVERHEAD_BYTES = 80_000_000
"""Memory that a process may hold beside its weights and its keys and values: interpreter, libraries, code, buffers."""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of the runs."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Series:
    """A speed in tokens a second, one value a run, and the variant that reached it."""

    values: tuple[float, ...]
    variant: str

    @property
    def spread(self) -> Spread:
        return Spread.of(self.values)


@dataclass(frozen=True)
class Row:
    """One system with one model and one workload. Speeds are of all sequences together; single numbers are medians over
    the runs, of the variant that decodes fastest."""

    system: str
    model: str
    workload: Workload
    dtype: str
    isa: str | None
    prefill: Series
    decode: Series
    load_s: float
    start_to_first_token_s: float
    second_start_to_first_token_s: float | None
    """Without the first run, after which the system had whatever it keeps; None where there was one run only."""
    peak_rss_bytes: int
    file_bytes: int | None
    limits: Limits
    samples: tuple[Sample, ...]

    @property
    def threads(self) -> int:
        return self.workload.threads

    @property
    def prefill_tok_s(self) -> Spread:
        return self.prefill.spread

    @property
    def decode_tok_s(self) -> Spread:
        return self.decode.spread

    @property
    def ttft_s(self) -> float:
        """From the call until every sequence has its first token."""
        return self.workload.batch * self.workload.prompt_tokens / self.prefill_tok_s.median

    @property
    def decode_limit_fraction(self) -> float:
        """Median decode speed over what memory and arithmetic allow."""
        return self.decode_tok_s.median / self.limits.decode_tok_s

    @property
    def prefill_limit_fraction(self) -> float | None:
        """Median prefill speed over what arithmetic allows, where a probe measures that arithmetic."""
        return None if self.limits.prefill_tok_s is None else self.prefill_tok_s.median / self.limits.prefill_tok_s

    @property
    def memory_allowance_bytes(self) -> int | None:
        """Weights on disk, keys and values of the workload, and `OVERHEAD_BYTES`."""
        if self.file_bytes is None:
            return None
        first = self.samples[0]
        return self.file_bytes + first.footprint.kv_bytes_per_position * first.positions + OVERHEAD_BYTES

    @property
    def timed_tokens(self) -> int:
        """New tokens of each sequence behind the decode speed: the workload's, or fewer where the context ends."""
        return self.samples[0].decoded // self.workload.batch + 1

    @property
    def variant(self) -> str:
        """Which of the variants that were tried counts for what; empty where there was one."""
        if self.decode.variant == self.prefill.variant:
            return self.decode.variant
        return f"decode {self.decode.variant}, prefill {self.prefill.variant}"

    def to_json(self) -> dict[str, Any]:
        times = ("load_s", "start_to_first_token_s", "prefill_s", "decode_s")
        names = (*times, "decoded", "decode_position", "positions", "peak_rss_bytes")
        return {
            "system": self.system,
            "model": self.model,
            "prompt_tokens": self.workload.prompt_tokens,
            "new_tokens": self.workload.new_tokens,
            "batch": self.workload.batch,
            "busy": self.workload.busy,
            "threads": self.threads,
            "dtype": self.dtype,
            "variant": self.variant,
            "isa": self.isa,
            "prefill_tok_s": dataclasses.asdict(self.prefill_tok_s),
            "decode_tok_s": dataclasses.asdict(self.decode_tok_s),
            "ttft_s": self.ttft_s,
            "load_s": self.load_s,
            "start_to_first_token_s": self.start_to_first_token_s,
            "second_start_to_first_token_s": self.second_start_to_first_token_s,
            "peak_rss_bytes": self.peak_rss_bytes,
            "memory_allowance_bytes": self.memory_allowance_bytes,
            "file_bytes": self.file_bytes,
            "timed_new_tokens": self.timed_tokens,
            "decode_limit_tok_s": self.limits.decode_tok_s,
            "decode_limit_fraction": self.decode_limit_fraction,
            "prefill_limit_tok_s": self.limits.prefill_tok_s,
            "prefill_limit_fraction": self.prefill_limit_fraction,
            "prefill_limit_basis": self.limits.prefill_basis,
            "footprint": dataclasses.asdict(self.samples[0].footprint),
            "runs": {"prefill_tok_s": list(self.prefill.values), "decode_tok_s": list(self.decode.values)},
            "raw": {name: [getattr(sample, name) for sample in self.samples] for name in names},
        }


@dataclass(frozen=True)
class Against:
    """How many times as fast a row is as another system's of the same workload."""

    system: str
    prefill: Ratio
    decode: Ratio

    def to_json(self) -> dict[str, Any]:
        return {"prefill": dataclasses.asdict(self.prefill), "decode": dataclasses.asdict(self.decode)}


@dataclass(frozen=True)
class Report:
    """All rows of one session, with the machine they were measured on."""

    rows: tuple[Row | Skipped, ...]
    probes: dict[str, list[float]]
    machine: dict[str, Any]

    def measured(self) -> list[Row]:
        """The rows that have numbers."""
        return [row for row in self.rows if isinstance(row, Row)]

    def own_failures(self) -> list[Skipped]:
        """What honed itself should have measured and could not."""
        return [row for row in self.rows if isinstance(row, Skipped) and row.system == OWN]

    def groups(self) -> Iterator[tuple[Workload, list[Row | Skipped]]]:
        """The rows of each workload; a system that could not run at all is in every one."""
        for workload in dict.fromkeys(row.workload for row in self.rows if row.workload is not None):
            yield workload, [row for row in self.rows if row.workload in (workload, None)]

    def against(self, row: Row) -> list[Against]:
        """Over each other system of the same workload; over its first row where that has several."""
        found: dict[str, Against] = {}
        for other in self.measured():
            if other.workload == row.workload and other.system != row.system and other.system not in found:
                # A time limit may have cut the runs of all, and of all alike.
                found[other.system] = _against(row, other)
        return list(found.values())

    def against_alone(self, row: Row) -> Against | None:
        """Of a row beside which CPUs were kept busy: over the same system without that. None for other rows."""
        workload = dataclasses.replace(row.workload, busy=0)
        for other in self.measured():
            if row.workload.busy and (other.system, other.model, other.workload) == (row.system, row.model, workload):
                return _against(row, other)
        return None

    def to_json(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for row in self.rows:
            if isinstance(row, Skipped):
                rows.append({"system": row.system, "model": row.model, "skipped": row.reason, **_of(row.workload)})
            else:
                ratios = {other.system: other.to_json() for other in self.against(row)}
                alone = self.against_alone(row)
                found = {"speed_against": ratios, "speed_against_alone": None if alone is None else alone.to_json()}
                rows.append({**row.to_json(), **found})
        workloads = [dataclasses.asdict(workload) for workload, _ in self.groups()]
        return {"rows": rows, "workloads": workloads, "machine": self.machine, "probes": self.probes}


def make_report(results: Sequence[Measured | Skipped]) -> Report:
    """Reduces samples to rows. Variants of one system become one row, without those that failed unless all
    did."""
    grouped: dict[tuple[str, str, Workload | None], list[Measured | Skipped]] = {}
    for item in results:
        at = item.contender if isinstance(item, Measured) else item
        grouped.setdefault((at.system, at.model, at.workload), []).append(item)
    # One session has one number of threads.
    probes = [probe for item in results if isinstance(item, Measured) for probe in item.probes]
    rows: list[Row | Skipped] = []
    for items in grouped.values():
        measured = [item for item in items if isinstance(item, Measured)]
        rows.append(
            make_row(measured, probes) if measured else next(item for item in items if isinstance(item, Skipped))
        )
    names = ("read_bytes_s", "int8_operations_s", "float32_operations_s")
    return Report(tuple(rows), {name: [getattr(probe, name) for probe in probes] for name in names}, machine())


def make_row(variants: Sequence[Measured], session: Sequence[Probe]) -> Row:
    """One row of the variants of a system: for each speed, the one whose median is best. session: all its probes."""
    prefill, _ = max((_prefill(item) for item in variants), key=lambda found: found[0].spread.median)
    decode, fastest = max((_decode(item) for item in variants), key=lambda found: found[0].spread.median)
    samples, contender = fastest.samples, fastest.contender
    later = [sample.start_to_first_token_s for sample in samples[1:]]
    return Row(
        system=contender.system,
        model=contender.model,
        workload=contender.workload,
        dtype=samples[0].dtype,
        isa=samples[0].isa,
        prefill=prefill,
        decode=decode,
        load_s=median(sample.load_s for sample in samples),
        start_to_first_token_s=median(sample.start_to_first_token_s for sample in samples),
        second_start_to_first_token_s=median(later) if later else None,
        peak_rss_bytes=int(median(sample.peak_rss_bytes for sample in samples)),
        file_bytes=contender.file_bytes,
        limits=limits(samples[0].footprint, contender.workload, samples[0].decode_position, fastest.probes, session),
        samples=samples,
    )


def _against(row: Row, other: Row) -> Against:
    return Against(
        other.system,
        prefill=paired_ratio(row.prefill.values, other.prefill.values),
        decode=paired_ratio(row.decode.values, other.decode.values),
    )


def _prefill(item: Measured) -> tuple[Series, Measured]:
    workload = item.contender.workload
    values = [workload.batch * workload.prompt_tokens / sample.prefill_s for sample in item.samples]
    return Series(tuple(values), item.contender.variant), item


def _decode(item: Measured) -> tuple[Series, Measured]:
    return Series(tuple(sample.decoded / sample.decode_s for sample in item.samples), item.contender.variant), item


def _of(workload: Workload | None) -> dict[str, int]:
    if workload is None:
        return {}
    names = ("prompt_tokens", "new_tokens", "batch", "busy")
    return {name: getattr(workload, name) for name in names}
