"""`honed bench`: how fast models run, against other systems and against the limits of the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.declared import takes_run_options
from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.backends.options import RunOptions
    from honed.bench.report import Report
    from honed.bench.workload import Workload


@takes_run_options("dtype", "isa")
def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Alias, directory, .gguf file, pypi: wheel, synthetic: shape or hub id."),
    ] = None,
    *,
    server: Annotated[
        str | None,
        typer.Option(help="Instead: a load of requests to this OpenAI-compatible server, as http://127.0.0.1:8000."),
    ] = None,
    requests: Annotated[int, typer.Option(help="With --server: requests in all.")] = 100,
    streams: Annotated[int, typer.Option(help="With --server: so many at a time.")] = 16,
    rate: Annotated[
        float | None, typer.Option(help="With --server: Poisson arrivals a second; as fast as streams are free.")
    ] = None,
    shared_tokens: Annotated[
        int, typer.Option(help="With --server: so many tokens at the beginning of all prompts are the same.")
    ] = 0,
    kind: Annotated[str, typer.Option(help="With --server: completions or chat.")] = "completions",
    temperature: Annotated[float, typer.Option(help="With --server: of the requests.")] = 0.0,
    cancel: Annotated[float, typer.Option(help="With --server: share of requests that are broken off.")] = 0.0,
    invalid: Annotated[float, typer.Option(help="With --server: share of requests that are not valid.")] = 0.0,
    prompt_tokens: Annotated[
        str | None,
        typer.Option(help="Length of the prompt, or several: 128,512. [default: 512; of texts of an encoder 64]"),
    ] = None,
    new_tokens: Annotated[int, typer.Option(help="Tokens decoded after it, greedily.")] = 128,
    batch: Annotated[
        str | None,
        typer.Option(help="Sequences decoded together, or several numbers: 1,8,16. [default: 1; of an encoder 32]"),
    ] = None,
    ragged: Annotated[
        bool,
        typer.Option("--ragged", help="Of an encoder: also with texts from a quarter of that length to all of it."),
    ] = False,
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
    check_peers: Annotated[
        bool,
        typer.Option(
            "--check-peers",
            help="Instead: the adapters of --against (of all, without it) beside the benchmarks of their own systems.",
        ),
    ] = False,
    run: RunOptions,
    kv: Annotated[str, typer.Option(help="KV cache: auto, float32, bfloat16 or int8, or several: auto,int8.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the whole report, raw values included, as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw it, as SVG.")] = None,
    page: Annotated[Path | None, typer.Option(help="Also write it as a Markdown page.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure prefill and decode speed, load time and memory, a fresh process for each measurement.

    Of encoders: texts a second, and how close their vectors are to those of --against pytorch.
    """
    from honed.api.benchmark import BenchModel, benchmark
    from honed.backends.options import RunOptions
    from honed.bench.encoders.workload import EncodeWorkload
    from honed.bench.isolate import WorkerError
    from honed.bench.workload import Workload
    from honed.cli.bench_encoders import are_encoders, bench_encoders, refuse
    from honed.cli.report_files import check_files
    from honed.cli.usage import UsageError
    from honed.errors import ParameterError
    from honed.native import extension

    check_files({"--out": out, "--plot": plot, "--page": page})
    if server is not None:
        from honed.bench.load.plan import LoadPlan
        from honed.cli.bench_server import bench_server, require_unset

        require_unset({"plot": (plot, None), "page": (page, None), "against": (against or None, None)})
        require_unset({"busy": (busy, "0"), "kv": (kv, "auto"), "batch": (batch, None), "threads": (threads, None)})
        plan = LoadPlan(
            kind=kind,
            requests=requests,
            rate=rate,
            streams=streams,
            prompt_tokens=one_number("prompt_tokens", prompt_tokens or "128"),
            new_tokens=new_tokens,
            shared_tokens=shared_tokens,
            temperature=temperature,
            cancel=cancel,
            invalid=invalid,
            seconds=None if minutes is None else 60 * minutes,
        )
        bench_server(server, models or (), plan, out=out, markdown=markdown, json=json)
        return
    if not models:
        raise UsageError("models is missing: honed bench MODEL measures one, and honed bench --server URL a server")
    ways = [RunOptions.of(run, {"kv": kind}) for kind in dict.fromkeys(kv.split(","))]
    count = extension.default_threads() if threads is None else threads
    if are_encoders(models):
        refuse({"new_tokens": (new_tokens, 128), "busy": (busy, "0"), "minutes": (minutes, None), "kv": (kv, "auto")})
        refuse({"check_peers": (check_peers, False), "plot": (plot, None)})
        texts = [
            EncodeWorkload(together, tokens, count, runs, ragged=kind)
            for tokens in numbers("prompt_tokens", prompt_tokens or "64")
            for together in numbers("batch", batch or "32")
            for kind in ([False, True] if ragged else [False])
        ]
        bench_encoders(models, texts, run, against=against or (), out=out, page=page, markdown=markdown, json=json)
        return
    if ragged:
        raise ParameterError("ragged", "true", "is for encoders, and these generate; leave it out")
    workloads = [
        Workload(prompt, new_tokens, count, runs, together, taken)
        for prompt in numbers("prompt_tokens", prompt_tokens or "512")
        for together in numbers("batch", batch or "1")
        for taken in dict.fromkeys([0, *numbers("busy", busy)])  # nothing is said by a busy machine alone
    ]
    if check_peers:
        settings = {"plot": (plot, None), "isa": (run.isa, None), "minutes": (minutes, None), "busy": (busy, "0")}
        for name, (value, usual) in {**settings, "dtype": (run.dtype, "auto"), "kv": (kv, "auto")}.items():
            if value != usual:
                raise ParameterError(name, str(value), "is for measuring honed, which --check-peers does not")
        _check_peers(models, workloads, against or (), out=out, page=page, markdown=markdown, json=json)
        return
    with progress() as report:
        result = benchmark(
            [BenchModel(name, options) for options in ways for name in models],
            workloads,
            against=against or (),
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


def _check_peers(
    models: list[str],
    workloads: list[Workload],
    against: Sequence[str],
    *,
    out: Path | None,
    page: Path | None,
    markdown: bool,
    json: bool,
) -> None:
    """AgreementError where an adapter is behind, after everything is told."""
    from honed.api.peer_check import check_peers
    from honed.bench import agreement_table as table
    from honed.bench.agreement import agreement_json, require_agreement
    from honed.bench.table import markdown as markdown_table
    from honed.cli.report_files import write_text
    from honed.evaluate.store import write_json

    with progress() as report:
        found = check_peers(
            models, workloads, against=against, progress=lambda done, total, label: report(label, done, total)
        )
    value, title = agreement_json(found), f"Adapters beside their systems' own benchmarks: {', '.join(models)}"
    if out is not None:
        write_json(out, value)
    if page is not None:
        write_text(page, table.agreement_page(found, title))
    if json:
        print_json(value)
    elif markdown:
        typer.echo(markdown_table(table.HEADER, table.agreement_cells(found)))
    else:
        print_table(title, table.HEADER, table.agreement_cells(found))
    require_agreement(found)


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


def one_number(parameter: str, text: str) -> int:
    """A single whole number."""
    from honed.errors import ParameterError

    if not text.strip().isdigit():
        raise ParameterError(parameter, text, "must be one whole number here")
    return int(text)


def _write(result: Report, models: list[str], *, out: Path | None, plot: Path | None, page: Path | None) -> None:
    """Whole files only: each is written beside its name and renamed."""
    from honed.bench import table
    from honed.bench.plot import svg
    from honed.cli.report_files import write_text
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
        write_text(path, text)
