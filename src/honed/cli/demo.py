"""`honed demo`: one model, its int8 and int4 artifacts, and one table of what each costs and gains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_line, print_lines, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.api.demo import DemoRow
    from honed.bench.workload import Workload

HEADER = ("weights", "size", "prefill tok/s", "of limit", "decode tok/s", "of limit", "perplexity", "KL", "top-1")


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
    from honed.bench.workload import Workload
    from honed.cli.report_files import check_directory, check_files
    from honed.evaluate.store import write_json
    from honed.native import extension

    check_directory("--out", out)
    if out.is_dir():
        check_files({"--out": out / "table.json"})
    count = extension.default_threads() if threads is None else threads
    workload = Workload(prompt_tokens, new_tokens, count, runs)
    with progress() as report:
        result = run_demo(model, out, workload, fresh=fresh, progress=report)
    write_json(out / "table.json", result.to_json())
    if json:
        print_json(result.to_json())
        return
    print_table(f"{model}: {heading(workload, result.rows[0])}", HEADER, [cells(row) for row in result.rows])
    print_line("x: of the original, speeds run by run; ranges and more are in " + str(out / "table.json"))
    if any(row.quality.cached for row in result.rows):
        print_line("Quality was measured before and nothing that it depends on has changed; --fresh measures it again.")
    print_lines(f"\n> {result.question}\n{result.answer.strip()}")


def heading(workload: Workload, original: DemoRow) -> str:
    """What was measured, and how."""
    prompt, new, tokens = workload.prompt_tokens, workload.new_tokens, original.quality.certificate.tokens
    return (
        f"{prompt} prompt and {new} new tokens, {workload.threads} threads ({original.speed.isa}), "
        f"median of {workload.runs}; quality on {tokens} tokens"
    )


def cells(row: DemoRow) -> list[str]:
    """The cells under `HEADER`."""
    from honed.bench.table import megabytes, percent

    speed, quality = row.speed, row.quality.certificate
    return [
        f"{row.label} ({speed.dtype})",
        f"{megabytes(speed.file_bytes)} {row.size:.2f}x",
        f"{speed.prefill_tok_s.median:.0f} {row.prefill.median:.2f}x",
        percent(speed.prefill_limit_fraction),
        f"{speed.decode_tok_s.median:.0f} {row.decode.median:.2f}x",
        percent(speed.decode_limit_fraction),
        f"{quality.perplexity.value:.3f}",
        f"{quality.kl_mean.value:.4f}",
        f"{quality.top1_agreement.value:.2%}",
    ]
