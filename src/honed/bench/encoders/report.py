"""What a benchmark of encoders found: rows, ratios, how close vectors are to the reference, and JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from honed.bench.encoders.contender import EncodeSkipped, Vectors
from honed.bench.encoders.measure import EncodeSample
from honed.bench.encoders.session import EncodeMeasured
from honed.bench.encoders.workload import EncodeWorkload
from honed.bench.machine import machine
from honed.bench.ratio import Ratio, paired_ratio
from honed.bench.report import OWN, Spread
from honed.bench.table import megabytes, ratio_words, spread

HEADER = ("system", "model", "weights", "size", "load", "to first text", "texts/s", "cosine", "peak memory")
"""cosine: the least that a vector of the batch has with that of the reference, the first float32 system measured."""


@dataclass(frozen=True)
class EncodeRow:
    """One system with one encoder and one workload; single numbers are medians over the runs."""

    system: str
    model: str
    workload: EncodeWorkload
    dtype: str
    isa: str | None
    texts_s: tuple[float, ...]
    """One value a run: that of its median pass."""
    load_s: float
    start_to_first_s: float
    peak_rss_bytes: int
    file_bytes: int | None
    cosine: float | None
    """None: nothing to compare with."""
    samples: tuple[EncodeSample, ...]

    @property
    def speed(self) -> Spread:
        return Spread.of(self.texts_s)

    def to_json(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "model": self.model,
            **dataclasses.asdict(self.workload),
            "dtype": self.dtype,
            "isa": self.isa,
            "texts_s": dataclasses.asdict(self.speed),
            "load_s": self.load_s,
            "start_to_first_s": self.start_to_first_s,
            "peak_rss_bytes": self.peak_rss_bytes,
            "file_bytes": self.file_bytes,
            "cosine": self.cosine,
            "runs_texts_s": list(self.texts_s),
            "pass_s": [list(sample.pass_s) for sample in self.samples],
        }


@dataclass(frozen=True)
class EncodeReport:
    """All rows of one session, with the machine they were measured on."""

    rows: tuple[EncodeRow | EncodeSkipped, ...]
    machine: dict[str, Any]

    def measured(self) -> list[EncodeRow]:
        return [row for row in self.rows if isinstance(row, EncodeRow)]

    def own_failures(self) -> list[EncodeSkipped]:
        """What honed itself should have measured and could not."""
        return [row for row in self.rows if isinstance(row, EncodeSkipped) and row.system == OWN]

    def against(self, row: EncodeRow) -> dict[str, Ratio]:
        """How many times as fast a row is as each other system of the same workload."""
        return {
            other.system: paired_ratio(row.texts_s, other.texts_s)
            for other in self.measured()
            if other.system != row.system and other.workload == row.workload
        }

    def groups(self) -> Iterator[tuple[EncodeWorkload, list[EncodeRow | EncodeSkipped]]]:
        """The rows of each workload."""
        for workload in dict.fromkeys(row.workload for row in self.rows if row.workload is not None):
            yield workload, [row for row in self.rows if row.workload in (workload, None)]

    def comparisons(self, workload: EncodeWorkload) -> list[str]:
        """A sentence for each measured model of honed and each other system."""
        return [
            f"{row.model} ({row.dtype}) against {other}: {ratio_words(ratio)}"
            for row in self.measured()
            if row.system == OWN and row.workload == workload
            for other, ratio in self.against(row).items()
        ]

    def to_json(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for row in self.rows:
            if isinstance(row, EncodeSkipped):
                rows.append({"system": row.system, "model": row.model, "skipped": row.reason})
            else:
                ratios = {name: dataclasses.asdict(ratio) for name, ratio in self.against(row).items()}
                rows.append({**row.to_json(), "speed_against": ratios})
        return {"rows": rows, "machine": self.machine}


def make_encode_report(results: Sequence[EncodeMeasured | EncodeSkipped], reference: str) -> EncodeReport:
    """Reduces samples to rows. reference: the system whose vectors the others are compared with, where it was
    measured."""
    measured = [item for item in results if isinstance(item, EncodeMeasured)]
    exact = {
        item.contender.workload: item.samples[0].vectors for item in measured if item.contender.system == reference
    }
    return EncodeReport(
        tuple(
            item if isinstance(item, EncodeSkipped) else _row(item, exact.get(item.contender.workload))
            for item in results
        ),
        machine(),
    )


def _row(item: EncodeMeasured, exact: Vectors | None) -> EncodeRow:
    contender, samples = item.contender, item.samples
    return EncodeRow(
        system=contender.system,
        model=contender.model,
        workload=contender.workload,
        dtype=samples[0].dtype,
        isa=samples[0].isa,
        texts_s=tuple(contender.workload.texts / median(sample.pass_s) for sample in samples),
        load_s=median(sample.load_s for sample in samples),
        start_to_first_s=median(sample.start_to_first_s for sample in samples),
        peak_rss_bytes=int(median(sample.peak_rss_bytes for sample in samples)),
        file_bytes=contender.file_bytes,
        cosine=None if exact is None else min(map(cosine, samples[0].vectors, exact)),
        samples=samples,
    )


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Of two vectors of one width."""
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def encode_cells(rows: Sequence[EncodeRow | EncodeSkipped]) -> list[list[str]]:
    """Cells under `HEADER`."""
    return [
        [row.system, row.model, f"skipped: {row.reason}", *[""] * (len(HEADER) - 3)]
        if isinstance(row, EncodeSkipped)
        else [
            row.system,
            row.model,
            row.dtype,
            megabytes(row.file_bytes),
            f"{row.load_s:.2f} s",
            f"{row.start_to_first_s:.2f} s",
            spread(row.speed),
            "-" if row.cosine is None else f"{row.cosine:.6f}",
            megabytes(row.peak_rss_bytes),
        ]
        for row in rows
    ]
