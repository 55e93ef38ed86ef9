"""`honed eval`: how close a model is to its reference, on a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress

if TYPE_CHECKING:
    from honed.evaluate.bootstrap import Estimate
    from honed.evaluate.certificate import Certificate


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
    dtype: Annotated[str, typer.Option(help="auto (GGUF blocks as they are), float32 or bfloat16.")] = "auto",
    kv: Annotated[str, typer.Option(help="Its KV cache: auto, float32, bfloat16 or int8.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="[default: the CPUs that this process may use]")] = None,
    isa: Annotated[str | None, typer.Option(help="One that honed doctor lists. [default: the best]")] = None,
    seed: Annotated[int, typer.Option(help="Of the resampling behind the intervals.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure even if these files were measured before.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Also write certificate.json into the model's directory.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure KL divergence, top-1 agreement and perplexity against a float32 reference."""
    from honed.api.evaluate import evaluate_or_find

    with progress() as report:
        result = evaluate_or_find(
            model,
            reference,
            text=text,
            windows=windows,
            window_tokens=window_tokens,
            dtype=dtype,
            kv=kv,
            threads=threads,
            isa=isa,
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
    typer.echo(
        f"{certificate.tokens} tokens of {settings.text} in {settings.windows} windows of {settings.window_tokens}, "
        f"{settings.isa}"
    )


def certificate_cells(certificate: Certificate) -> list[list[str]]:
    """Name, value and interval, a row each."""

    def row(name: str, estimate: Estimate, form: str) -> list[str]:
        return [name, format(estimate.value, form), f"{estimate.low:{form}} to {estimate.high:{form}}"]

    return [
        row("KL divergence, mean (nats)", certificate.kl_mean, ".5f"),
        row("KL divergence, 99th percentile", certificate.kl_p99, ".4f"),
        row("top-1 agreement", certificate.top1_agreement, ".2%"),
        row("perplexity", certificate.perplexity, ".3f"),
        row("perplexity of the reference", certificate.reference_perplexity, ".3f"),
        row("perplexity ratio", certificate.perplexity_ratio, ".5f"),
    ]
