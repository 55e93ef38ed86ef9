"""`honed bench` of encoders: texts a second, beside other systems, and how close their vectors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.backends.options import RunOptions
    from honed.bench.encoders.report import EncodeReport
    from honed.bench.encoders.workload import EncodeWorkload


def are_encoders(models: Sequence[str]) -> bool:
    """Whether the models are encoders. HonedError where some are and others are not, and those of opening one."""
    from honed.checkpoints.open import open_checkpoint
    from honed.errors import HonedError
    from honed.models.registry import is_encoder

    kinds = {name: is_encoder(open_checkpoint(name).config) for name in models}
    if len(set(kinds.values())) > 1:
        encoders = ", ".join(name for name, kind in kinds.items() if kind)
        raise HonedError(f"encoders and models that generate are measured apart: {encoders} in one command alone")
    return any(kinds.values())


def refuse(given: Mapping[str, tuple[object, object]]) -> None:
    """ParameterError for an option that means nothing to encoders: by name, its value and the usual one."""
    from honed.errors import ParameterError

    for name, (value, usual) in given.items():
        if value != usual:
            raise ParameterError(name, str(value), "is for models that generate, and these are encoders; leave it out")


def bench_encoders(
    models: Sequence[str],
    workloads: Sequence[EncodeWorkload],
    run: RunOptions,
    *,
    against: Sequence[str],
    out: Path | None,
    page: Path | None,
    markdown: bool,
    json: bool,
) -> None:
    """Measures and prints. WorkerError where honed itself failed, after everything is told."""
    from honed.api.encode_benchmark import benchmark_encoders
    from honed.bench.isolate import WorkerError
    from honed.cli.report_files import write_text
    from honed.evaluate.store import write_json

    with progress() as report:
        result = benchmark_encoders(
            models,
            workloads,
            against=against,
            options=run,
            progress=lambda done, total, label: report(label, done, total),
        )
    if out is not None:
        write_json(out, result.to_json())
    if page is not None:
        write_text(page, "\n".join([f"# Speed of {', '.join(models)}\n", *_tables(result)]))
    if json:
        print_json(result.to_json())
    elif markdown:
        typer.echo("\n".join(_tables(result)))
    else:
        _print(result)
    failures = [f"{row.model}: {row.reason}" for row in result.own_failures()]
    if failures:
        raise WorkerError(f"not measured: {'; '.join(failures)}")


def _tables(result: EncodeReport) -> list[str]:
    from honed.bench.encoders.report import HEADER, encode_cells
    from honed.bench.table import markdown

    parts: list[str] = []
    for workload, rows in result.groups():
        lines = "".join(f"- {line}\n" for line in result.comparisons(workload))
        parts += [f"## {workload.label}\n", markdown(HEADER, encode_cells(rows)), lines]
    return parts


def _print(result: EncodeReport) -> None:
    from honed.bench.encoders.report import HEADER, encode_cells

    for workload, rows in result.groups():
        print_table(f"{workload.label}, {workload.runs} runs: median (range)", HEADER, encode_cells(rows))
        for line in result.comparisons(workload):
            typer.echo(line)
        typer.echo()
