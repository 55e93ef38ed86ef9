"""`honed bench`: how fast models run, against other systems and against the limits of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress


def bench(
    models: Annotated[list[str], typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or hub id.")],
    *,
    prompt_tokens: Annotated[int, typer.Option(help="Length of the prompt.")] = 512,
    new_tokens: Annotated[int, typer.Option(help="Tokens decoded after it, greedily.")] = 128,
    threads: Annotated[int | None, typer.Option(help="[default: the CPUs that this process may use]")] = None,
    runs: Annotated[int, typer.Option(help="Processes started for each system.")] = 5,
    against: Annotated[list[str] | None, typer.Option(help="pytorch or pytorch-float32. May be repeated.")] = None,
    dtype: Annotated[str, typer.Option(help="Of unquantized weights: auto, float32 or bfloat16.")] = "auto",
    kv: Annotated[str, typer.Option(help="KV cache: auto, float32, bfloat16 or int8.")] = "auto",
    isa: Annotated[str | None, typer.Option(help="One that honed doctor lists. [default: the best]")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the whole report, raw values included, as JSON.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure prefill and decode speed, load time and memory, a fresh process for each measurement."""
    from honed.api.benchmark import BenchModel, benchmark
    from honed.bench import report as reporting
    from honed.bench.workload import Workload
    from honed.errors import ParameterError, SourceError
    from honed.native import extension
    from honed.plan.formats import DensePolicy, KvPolicy

    if dtype not in get_args(DensePolicy):
        raise ParameterError("dtype", dtype, f"must be one of {', '.join(get_args(DensePolicy))}")
    if out is not None and not out.parent.is_dir():
        raise SourceError(f"{out}: there is no directory {out.parent} to write the report to")
    if kv not in get_args(KvPolicy):
        raise ParameterError("kv", kv, f"must be one of {', '.join(get_args(KvPolicy))}")
    workload = Workload(prompt_tokens, new_tokens, extension.default_threads() if threads is None else threads, runs)
    with progress() as report:
        result = benchmark(
            [BenchModel(name, cast("DensePolicy", dtype), cast("KvPolicy", kv)) for name in models],
            workload,
            against=against or (),
            isa=isa,
            progress=lambda done, total, label: report(label, done, total),
        )
    if out is not None:
        from honed.evaluate.store import write_json

        write_json(out, result.to_json())
    if json:
        print_json(result.to_json())
        return
    rows = reporting.table_cells(result)
    if markdown:
        typer.echo(reporting.markdown(reporting.HEADER, rows), nl=False)
        return
    title = (
        f"{prompt_tokens} prompt and {new_tokens} new tokens, {workload.threads} threads, {runs} runs: median (range)"
    )
    print_table(title, reporting.HEADER, rows)
    for line in reporting.comparisons(result):
        typer.echo(line)
