"""What a benchmark found, as JSON and as the cells of a table. Drawing is left to the command line."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from honed.bench.contender import Skipped
from honed.bench.limits import Limits, limits
from honed.bench.measure import Sample
from honed.bench.session import Measured
from honed.bench.workload import Workload


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
class Row:
    """One system with one model. Speeds are of one sequence; single numbers are medians over the runs."""

    system: str
    model: str
    dtype: str
    isa: str | None
    threads: int
    prefill_tok_s: Spread
    decode_tok_s: Spread
    ttft_s: float
    load_s: float
    start_to_first_token_s: float
    peak_rss_bytes: int
    file_bytes: int | None
    limits: Limits
    samples: tuple[Sample, ...]

    @property
    def decode_limit_fraction(self) -> float:
        """Median decode speed over what memory allows."""
        return self.decode_tok_s.median / self.limits.decode_tok_s

    @property
    def prefill_limit_fraction(self) -> float | None:
        """Median prefill speed over what arithmetic allows, where a probe measures that arithmetic."""
        return None if self.limits.prefill_tok_s is None else self.prefill_tok_s.median / self.limits.prefill_tok_s

    def to_json(self) -> dict[str, Any]:
        names = ("load_s", "start_to_first_token_s", "prefill_s", "decode_s", "decoded", "peak_rss_bytes")
        return {
            "system": self.system,
            "model": self.model,
            "dtype": self.dtype,
            "isa": self.isa,
            "threads": self.threads,
            "prefill_tok_s": dataclasses.asdict(self.prefill_tok_s),
            "decode_tok_s": dataclasses.asdict(self.decode_tok_s),
            "ttft_s": self.ttft_s,
            "load_s": self.load_s,
            "start_to_first_token_s": self.start_to_first_token_s,
            "peak_rss_bytes": self.peak_rss_bytes,
            "file_bytes": self.file_bytes,
            "decode_limit_tok_s": self.limits.decode_tok_s,
            "decode_limit_fraction": self.decode_limit_fraction,
            "prefill_limit_tok_s": self.limits.prefill_tok_s,
            "prefill_limit_fraction": self.prefill_limit_fraction,
            "prefill_limit_basis": self.limits.prefill_basis,
            "footprint": dataclasses.asdict(self.samples[0].footprint),
            "raw": {name: [getattr(sample, name) for sample in self.samples] for name in names},
        }


@dataclass(frozen=True)
class Report:
    """All rows of one run, with the machine they were measured on."""

    workload: Workload
    rows: tuple[Row | Skipped, ...]
    probes: dict[str, list[float]]
    machine: dict[str, Any]

    def measured(self) -> list[Row]:
        """The rows that have numbers."""
        return [row for row in self.rows if isinstance(row, Row)]

    def to_json(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for row in self.rows:
            if isinstance(row, Skipped):
                rows.append({"system": row.system, "model": row.model, "skipped": row.reason})
            else:
                rows.append({**row.to_json(), "speed_against": self.ratios(row)})
        workload = dataclasses.asdict(self.workload)
        return {"rows": rows, "workload": workload, "machine": self.machine, "probes": self.probes}

    def ratios(self, row: Row) -> dict[str, dict[str, float]]:
        """Median speed over that of each other system; over its first row where that has several."""
        ratios: dict[str, dict[str, float]] = {}
        for other in self.measured():
            if other.system != row.system and other.system not in ratios:
                ratios[other.system] = {
                    "prefill": row.prefill_tok_s.median / other.prefill_tok_s.median,
                    "decode": row.decode_tok_s.median / other.decode_tok_s.median,
                }
        return ratios


def make_report(results: Sequence[Measured | Skipped], workload: Workload) -> Report:
    """Reduces samples to rows; nothing is thrown away."""
    rows = tuple(item if isinstance(item, Skipped) else make_row(item, workload) for item in results)
    probes = [probe for item in results if isinstance(item, Measured) for probe in item.probes]
    names = ("read_bytes_s", "int8_operations_s", "float32_operations_s")
    return Report(workload, rows, {name: [getattr(probe, name) for probe in probes] for name in names}, machine())


def make_row(measured: Measured, workload: Workload) -> Row:
    samples = measured.samples
    return Row(
        system=measured.contender.system,
        model=measured.contender.model,
        dtype=samples[0].dtype,
        isa=samples[0].isa,
        threads=workload.threads,
        prefill_tok_s=Spread.of([workload.prompt_tokens / sample.prefill_s for sample in samples]),
        decode_tok_s=Spread.of([sample.decoded / sample.decode_s for sample in samples]),
        ttft_s=median(sample.prefill_s for sample in samples),
        load_s=median(sample.load_s for sample in samples),
        start_to_first_token_s=median(sample.start_to_first_token_s for sample in samples),
        peak_rss_bytes=int(median(sample.peak_rss_bytes for sample in samples)),
        file_bytes=measured.contender.file_bytes,
        limits=limits(samples[0].footprint, workload, list(measured.probes)),
        samples=samples,
    )


def machine() -> dict[str, Any]:
    """The processor as the engine sees it, the system, and versions that speeds depend on."""
    from importlib.metadata import PackageNotFoundError, version

    from honed.native import extension

    versions = {}
    for package in ("honed", "numpy", "torch", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "features": extension.features(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": versions,
    }


HEADER = (
    "system",
    "model",
    "weights",
    "size",
    "load",
    "first token",
    "prefill tok/s",
    "of limit",
    "decode tok/s",
    "of limit",
    "peak memory",
)


def table_cells(report: Report) -> list[list[str]]:
    """Rows of text under `HEADER`. Speeds show the median with the least and greatest run."""
    rows = []
    for row in report.rows:
        if isinstance(row, Skipped):
            rows.append([row.system, row.model, f"skipped: {row.reason}", *[""] * (len(HEADER) - 3)])
            continue
        rows.append(
            [
                row.system,
                row.model,
                row.dtype,
                megabytes(row.file_bytes),
                f"{row.load_s:.2f} s",
                f"{row.start_to_first_token_s:.2f} s",
                spread(row.prefill_tok_s),
                percent(row.prefill_limit_fraction),
                spread(row.decode_tok_s),
                percent(row.decode_limit_fraction),
                megabytes(row.peak_rss_bytes),
            ]
        )
    return rows


def comparisons(report: Report) -> list[str]:
    """A sentence for each measured model of honed and each other system."""
    lines = []
    for row in report.measured():
        for system, ratio in report.ratios(row).items():
            if row.system == "honed":
                lines.append(
                    f"{row.model} ({row.dtype}) against {system}: decode {ratio['decode']:.2f} times as fast, "
                    f"prefill {ratio['prefill']:.2f} times"
                )
    return lines


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: text columns left, numbers right by their first row's look."""

    def escape(cell: str) -> str:
        return cell.replace("|", "\\|").replace("\n", " ")

    numeric = [bool(rows) and rows[0][i][:1].isdigit() for i in range(len(header))]
    lines = [
        "| " + " | ".join(escape(name) for name in header) + " |",
        "| " + " | ".join("---:" if right else "---" for right in numeric) + " |",
        *("| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def spread(values: Spread) -> str:
    """`median (min to max)`, with no more digits than such a measurement has."""

    def digits(value: float) -> str:
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}"

    return f"{digits(values.median)} ({digits(values.min)} to {digits(values.max)})"


def megabytes(count: int | None) -> str:
    """Decimal megabytes, or a dash."""
    return "-" if count is None else f"{count / 1e6:.0f} MB"


def percent(fraction: float | None) -> str:
    """Whole percents, or a dash."""
    return "-" if fraction is None else f"{fraction:.0%}"
