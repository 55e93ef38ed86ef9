"""`honed eval`: how close a model is to its reference, on a text, or what both are worth at a task (`eval_task.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.declared import takes_run_options
from honed.cli.output import print_json, print_line, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.backends.options import RunOptions
    from honed.evaluate.bootstrap import Estimate
    from honed.evaluate.certificate import Certificate
    from honed.evaluate.encoder_certificate import EncoderCertificate


@takes_run_options("dtype", "kv", "threads", "isa")
def evaluate(
    model: Annotated[str, typer.Argument(help="The candidate: alias, directory, .gguf file, pypi: wheel or hub id.")],
    *,
    reference: Annotated[
        str | None,
        typer.Option(help="Run in float32. [default: what the artifact was made from; else the model itself]"),
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="A UTF-8 file. [default: the reference topics that Python carries]")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(help="Pieces of the text, spread evenly. [default: 8, or what the text has]")
    ] = None,
    window_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a piece. [default: 512, or the context where it is shorter]")
    ] = None,
    run: RunOptions,
    seed: Annotated[int, typer.Option(help="Of the resampling behind the intervals.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure even if these files were measured before.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Also write certificate.json into the model's directory.")
    ] = False,
    task: Annotated[
        Path | None, typer.Option(help="A task file (docs/how-to-evaluate.md): its metrics instead of a text's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of --task and --lm-eval: examples at most.")] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Of --task: with typos, other case and spaces, and replaced words.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Of --task: which words decisions rest on, and how far that moved.")
    ] = False,
    bias: Annotated[Path | None, typer.Option(help="Of --task: templates in which groups are swapped.")] = None,
    lm_eval: Annotated[
        str | None, typer.Option("--lm-eval", help="Tasks of lm-eval, comma between; it must be installed.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Directory for report.json and report.html.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure KL divergence, top-1 agreement and perplexity against a float32 reference; of an encoder, how close its
    vectors are; with --task, any metric of a task on your data."""
    if task is not None or lm_eval is not None:
        from honed.cli.eval_task import TaskOptions, evaluate_other

        unused = {"text": text, "windows": windows, "window_tokens": window_tokens, "seed": seed or None}
        unused |= {"fresh": fresh or None, "record": record or None}
        options = TaskOptions(task, lm_eval, limit, robustness, explain, bias, out, json)
        evaluate_other(model, reference, run, options, unused)
        return
    refuse_alone(
        {"limit": limit, "robustness": robustness or None, "explain": explain or None, "bias": bias, "out": out}
    )
    from honed.api.evaluate import evaluate_or_find
    from honed.api.evaluate_encoder import evaluate_encoder
    from honed.checkpoints.open import open_checkpoint
    from honed.models.registry import is_encoder

    if is_encoder(open_checkpoint(model).config):
        with progress() as report:
            found = evaluate_encoder(
                model,
                reference,
                run,
                text=text,
                windows=windows,
                window_tokens=window_tokens,
                seed=seed,
                record=record,
                progress=report,
            )
        if json:
            print_json(found.to_json())
        else:
            _show_encoder(found)
        return
    with progress() as report:
        result = evaluate_or_find(
            model,
            reference,
            run,
            text=text,
            windows=windows,
            window_tokens=window_tokens,
            seed=seed,
            fresh=fresh,
            record=record,
            progress=report,
        )
    if json:
        print_json({**result.certificate.to_json(), "cached": result.cached})
        return
    certificate = result.certificate
    settings = certificate.settings
    print_table(
        f"{certificate.candidate.name} against {certificate.reference.name} in float32"
        + (" (cached; --fresh measures again)" if result.cached else ""),
        ("", "value", f"{settings.resampling.confidence:.0%} interval"),
        certificate_cells(certificate),
    )
    print_line(
        f"{certificate.tokens} tokens of {settings.text} in {settings.windows} windows of {settings.window_tokens}, "
        f"{settings.isa}"
    )


def refuse_alone(given: Mapping[str, object]) -> None:
    """ParameterError for what only a task has."""
    from honed.errors import ParameterError

    for name, value in given.items():
        if value is not None:
            raise ParameterError(name, str(value), "is of --task; give a task file, docs/how-to-evaluate.md has some")


def certificate_cells(certificate: Certificate) -> list[list[str]]:
    """Name, value and interval, a row each."""

    return [
        _row("KL divergence, mean (nats)", certificate.kl_mean, ".5f"),
        _row("KL divergence, 99th percentile", certificate.kl_p99, ".4f"),
        _row("top-1 agreement", certificate.top1_agreement, ".2%"),
        _row("perplexity", certificate.perplexity, ".3f"),
        _row("perplexity of the reference", certificate.reference_perplexity, ".3f"),
        _row("perplexity ratio", certificate.perplexity_ratio, ".5f"),
    ]


def _row(name: str, estimate: Estimate, form: str) -> list[str]:
    return [name, format(estimate.value, form), f"{estimate.low:{form}} to {estimate.high:{form}}"]


def _show_encoder(certificate: EncoderCertificate) -> None:
    settings = certificate.settings
    print_table(
        f"{certificate.candidate.name} against {certificate.reference.name} in float32",
        ("", "value", f"{settings.resampling.confidence:.0%} interval"),
        [
            _row("cosine, mean", certificate.cosine_mean, ".5f"),
            _row("cosine, 5th percentile", certificate.cosine_p05, ".5f"),
            _row("same nearest text", certificate.nearest_agreement, ".2%"),
        ],
    )
    print_line(
        f"{settings.windows} texts of {settings.window_tokens} tokens of {settings.text}, pooled by "
        f"{certificate.pooling}, {settings.isa}"
    )
