"""`honed demo`: one model, its int8 and int4 artifacts, and one table of what each costs and gains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

HEADER = (
    "weights", "size", "load", "prefill tok/s", "of limit", "decode tok/s", "of limit",
    "perplexity", "KL", "KL p99", "top-1",
)  # fmt: skip


def demo(
    model: Annotated[str, typer.Argument(help="Any model that honed reads.")] = "smollm2",
    *,
    out: Annotated[Path, typer.Option(help="Directory for the artifacts and table.json.")] = Path("out/demo"),
    prompt_tokens: Annotated[int, typer.Option(help="Length of the measured prompt.")] = 256,
    new_tokens: Annotated[int, typer.Option(help="Tokens decoded after it.")] = 32,
    runs: Annotated[int, typer.Option(help="Processes started for each measurement.")] = 3,
    threads: Annotated[int | None, typer.Option(help="[default: the CPUs that this process may use]")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compress and evaluate again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compress a model two ways, compare quality and speed with the original, and ask it something."""
    from honed.api.demo import run_demo
    from honed.bench.table import megabytes, percent, spread
    from honed.bench.workload import Workload
    from honed.evaluate.store import write_json
    from honed.native import extension

    workload = Workload(prompt_tokens, new_tokens, threads or extension.default_threads(), runs)
    with progress() as report:
        result = run_demo(model, out, workload, fresh=fresh, progress=report)
    write_json(out / "table.json", result.to_json())
    if json:
        print_json(result.to_json())
        return
    rows = []
    for row in result.rows:
        speed, quality = row.speed, row.quality.certificate
        rows.append(
            [
                f"{row.label} ({speed.dtype})",
                megabytes(speed.file_bytes),
                f"{speed.load_s:.2f} s",
                spread(speed.prefill_tok_s),
                percent(speed.prefill_limit_fraction),
                spread(speed.decode_tok_s),
                percent(speed.decode_limit_fraction),
                f"{quality.perplexity.value:.3f}",
                f"{quality.kl_mean.value:.4f}",
                f"{quality.kl_p99.value:.4f}",
                f"{quality.top1_agreement.value:.2%}",
            ]
        )
    first = result.rows[0]
    print_table(
        f"{prompt_tokens} prompt and {new_tokens} new tokens on {workload.threads} threads ({first.speed.isa}), "
        f"median (range) of {runs}; quality on {first.quality.certificate.tokens} tokens against float32",
        HEADER,
        rows,
    )
    if any(row.quality.cached for row in result.rows):
        typer.echo("Quality was measured before and nothing that it depends on has changed; --fresh measures it again.")
    typer.echo(f"\n> {result.question}\n{result.answer.strip()}")
