"""`honed bench`: how fast models run, against other systems and against the limits of the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.bench.report import Report


def bench(
    models: Annotated[
        list[str], typer.Argument(help="Alias, directory, .gguf file, pypi: wheel, synthetic: shape or hub id.")
    ],
    *,
    prompt_tokens: Annotated[str, typer.Option(help="Length of the prompt, or several: 128,512.")] = "512",
    new_tokens: Annotated[int, typer.Option(help="Tokens decoded after it, greedily.")] = 128,
    batch: Annotated[str, typer.Option(help="Sequences decoded together, or several numbers: 1,8,16.")] = "1",
    busy: Annotated[
        str, typer.Option(help="Measure also while other processes keep so many CPUs busy, or several numbers: 1,2.")
    ] = "0",
    threads: Annotated[int | None, typer.Option(help="[default: the CPUs that this process may use]")] = None,
    runs: Annotated[int, typer.Option(help="Processes started for each system and workload.")] = 5,
    minutes: Annotated[float | None, typer.Option(help="Begin no further run after so many minutes.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Other systems, e.g. llama.cpp,pytorch; installed on first use. May be repeated."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto (GGUF blocks as they are), float32 or bfloat16.")] = "auto",
    kv: Annotated[str, typer.Option(help="KV cache: auto, float32, bfloat16 or int8, or several: auto,int8.")] = "auto",
    isa: Annotated[str | None, typer.Option(help="One that honed doctor lists. [default: the best]")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the whole report, raw values included, as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, as SVG.")] = None,
    page: Annotated[Path | None, typer.Option(help="Also write it as a Markdown page.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure prefill and decode speed, load time and memory, a fresh process for each measurement."""
    from honed.api.benchmark import BenchModel, benchmark
    from honed.bench.isolate import WorkerError
    from honed.bench.workload import Workload
    from honed.errors import ParameterError, SourceError
    from honed.native import extension
    from honed.plan.formats import DensePolicy, KvPolicy

    if dtype not in get_args(DensePolicy):
        raise ParameterError("dtype", dtype, f"must be one of {', '.join(get_args(DensePolicy))}")
    for file in (out, plot, page):
        if file is not None and not file.parent.is_dir():
            raise SourceError(f"{file}: there is no directory {file.parent} to write the report to")
    kinds = list(dict.fromkeys(kv.split(",")))
    for kind in kinds:
        if kind not in get_args(KvPolicy):
            raise ParameterError("kv", kind, f"must be one of {', '.join(get_args(KvPolicy))}")
    count = extension.default_threads() if threads is None else threads
    workloads = [
        Workload(prompt, new_tokens, count, runs, together, taken)
        for prompt in numbers("prompt_tokens", prompt_tokens)
        for together in numbers("batch", batch)
        for taken in dict.fromkeys([0, *numbers("busy", busy)])  # nothing is said by a busy machine alone
    ]
    with progress() as report:
        result = benchmark(
            [BenchModel(name, cast("DensePolicy", dtype), cast("KvPolicy", kind)) for kind in kinds for name in models],
            workloads,
            against=against or (),
            isa=isa,
            minutes=minutes,
            progress=lambda done, total, label: report(label, done, total),
        )
    _write(result, models, out=out, plot=plot, page=page)
    if json:
        print_json(result.to_json())
    else:
        _print(result, markdown=markdown)
    failures = [
        f"{row.model}: {row.workload.label}: {row.reason}" for row in result.own_failures() if row.workload is not None
    ]
    if failures:
        raise WorkerError(f"not measured: {'; '.join(failures)}")


def _print(result: Report, *, markdown: bool) -> None:
    from honed.bench import table

    for workload, rows in result.groups():
        cells = table.table_cells(rows)
        if markdown:
            typer.echo(table.markdown(table.HEADER, cells))
            continue
        print_table(table.title(workload, rows), table.HEADER, cells)
        for line in [*table.comparisons(result, workload), *table.footing(result, workload)]:
            typer.echo(line)
        typer.echo()


def numbers(parameter: str, text: str) -> list[int]:
    """The whole numbers of a list with commas, each once."""
    from honed.errors import ParameterError

    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise ParameterError(parameter, text, "must be a whole number, or several with commas between") from None


def _write(result: Report, models: list[str], *, out: Path | None, plot: Path | None, page: Path | None) -> None:
    """Whole files only: each is written beside its name and renamed."""
    from honed.bench import table
    from honed.bench.plot import svg
    from honed.evaluate.store import write_json

    if out is not None:
        write_json(out, result.to_json())
    texts: dict[Path, str] = {}
    if plot is not None:
        texts[plot] = svg(result)
    if page is not None:
        picture = None if plot is None else os.path.relpath(plot, page.parent)
        texts[page] = table.page(result, f"Speed of {', '.join(models)}", picture)
    for path, text in texts.items():
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
