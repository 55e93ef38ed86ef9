"""The whole path at once: a model, compressed two ways, each compared with the original in quality and speed.

What has been made and measured before is used again where nothing that it depends on has changed: artifacts by their
manifest, certificates by their fingerprints. Speed is always measured anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from honed.api.benchmark import BenchModel, benchmark
from honed.api.compress import Progress as CompressProgress
from honed.api.compress import compress
from honed.api.evaluate import Evaluation, evaluate_or_find
from honed.api.load import load
from honed.backends.options import RunOptions
from honed.bench.isolate import WorkerError
from honed.bench.ratio import Ratio, paired_ratio
from honed.bench.report import Report, Row
from honed.bench.workload import Workload
from honed.checkpoints.artifact.manifest import FORMAT_VERSION, MANIFEST, read_manifest
from honed.checkpoints.content_hash import file_sha256
from honed.checkpoints.open import open_checkpoint
from honed.errors import HonedError
from honed.plan.formats import DensePolicy

RECIPES = ("int8", "int4")
QUESTION = "How do plants make food?"
ANSWER_TOKENS = 96

Progress = Callable[[str, int, int], None]
"""Called with what is done now, and how much of how much is done."""


@dataclass(frozen=True)
class DemoRow:
    """One way of storing the model: its speed in this run, its quality against the original in float32.

    `size`, `prefill` and `decode` are its bytes and speeds over those of the original, speeds run by run.
    """

    label: str
    speed: Row
    quality: Evaluation
    size: float
    prefill: Ratio
    decode: Ratio


@dataclass(frozen=True)
class Demo:
    """Everything the demo found, and the answer of the first artifact to a chat question."""

    rows: tuple[DemoRow, ...]
    report: Report
    question: str
    answer: str

    def to_json(self) -> dict[str, Any]:
        measured = self.report.to_json()
        rows = []
        for row, speed in zip(self.rows, measured["rows"], strict=True):
            quality = {**row.quality.certificate.to_json(), "cached": row.quality.cached}
            against = {"size": row.size, "prefill": asdict(row.prefill), "decode": asdict(row.decode)}
            rows.append({"label": row.label, **speed, "quality": quality, "against_original": against})
        return {
            "rows": rows,
            **{key: measured[key] for key in ("workloads", "machine", "probes")},
            "question": self.question,
            "answer": self.answer,
        }


def run_demo(model: str, out: Path, workload: Workload, *, fresh: bool, progress: Progress) -> Demo:
    """Compresses `model` into `out`/int8 and `out`/int4, then evaluates, measures and asks.

    fresh: compress and evaluate again even where nothing has changed. Errors: those of compress, evaluate, benchmark.
    """
    # The blocks of a GGUF file are the original; a checkpoint of floats is held in 16 bits, which is what most are.
    dtype: DensePolicy = "auto" if open_checkpoint(model).kind == "gguf" else "bfloat16"
    names = {"original": model}
    for recipe in RECIPES:
        target = out / recipe
        if fresh or not is_current(target, model, recipe):
            _compress(model, recipe, target, progress)
        names[recipe] = str(target)
    qualities = [
        evaluate_or_find(
            name,
            model,
            dtype=dtype,
            threads=workload.threads,
            fresh=fresh,
            progress=lambda stage, done, total, label=label: progress(f"quality of {label}: {stage}", done, total),  # type: ignore[misc]
        )
        for label, name in names.items()
    ]
    report = benchmark(
        [BenchModel(name, RunOptions(dtype=dtype)) for name in names.values()],
        workload,
        progress=lambda done, total, label: progress(f"speed: {label}", done, total),
    )
    for failure in report.own_failures():
        raise WorkerError(f"{failure.model}: {failure.reason}")
    speeds = report.measured()
    rows = tuple(_row(*parts, speeds[0]) for parts in zip(names, speeds, qualities, strict=True))
    with load(out / RECIPES[0], threads=workload.threads) as compressed:
        messages = [{"role": "user", "content": QUESTION}]
        answer = compressed.generate(messages, max_tokens=ANSWER_TOKENS, temperature=0).text
    return Demo(rows, report, QUESTION, answer)


def _row(label: str, speed: Row, quality: Evaluation, original: Row) -> DemoRow:
    return DemoRow(
        label,
        speed,
        quality,
        size=_bytes(speed) / _bytes(original),
        prefill=paired_ratio(speed.prefill.values, original.prefill.values),
        decode=paired_ratio(speed.decode.values, original.decode.values),
    )


def _bytes(row: Row) -> int:
    assert row.file_bytes is not None  # known of every model of honed's own
    return row.file_bytes


def is_current(target: Path, model: str, recipe: str) -> bool:
    """Whether the artifact was made from these very files by this recipe and this version."""
    from honed.compress.recipe import read_recipe
    from honed.version import __version__

    if not (target / MANIFEST).is_file():
        return False
    try:
        document = read_manifest(target / MANIFEST).document
    except HonedError:
        return False
    source = {name: record["sha256"] for name, record in document["source"]["files"].items()}
    return bool(
        document["format_version"] == FORMAT_VERSION
        and document["recipe"] == read_recipe(recipe).as_json()
        and document["versions"]["honed"] == __version__
        and all(source.get(path.name) == file_sha256(path) for path in open_checkpoint(model).files)
    )


def _compress(model: str, recipe: str, target: Path, progress: Progress) -> None:
    def report(step: CompressProgress) -> None:
        progress(f"compressing to {recipe}: {step.name}", step.done, step.total)

    target.parent.mkdir(parents=True, exist_ok=True)
    compress(model, recipe, out=target, overwrite=target.exists(), progress=report)
