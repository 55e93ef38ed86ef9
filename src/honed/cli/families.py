"""`honed families`: what runs, family by family, each tried on tiny random models when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honed.cli.output import print_json, print_lines, print_table


def families(
    names: Annotated[list[str] | None, typer.Argument(help="Families by model_type; all of them without one.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    into: Annotated[
        Path | None, typer.Option(help="A document that shows the table, to be brought up to date.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try every family on tiny random models, and print what works.

    safetensors: the native engine and the interpreter give the same bits. GGUF: a file gives the bits of the directory
    that it was made of. int8, int4, nf4: the recipe works, its artifact gives the same bits on both, and diverges
    little. parity: float32 is within 1e-4 of the spread of transformers, where that is installed. A - says that there
    was nothing to try. The command fails where anything that was tried went wrong.
    """
    from honed.api.families import table
    from honed.cli.progress import progress

    rows = []
    asked = table.chosen(names or [])
    with progress() as report:
        for row in table.try_families(asked):
            rows.append(row)
            report(f"tried {row.model_type}", len(rows), len(asked))
    if into is not None:
        table.put_into(into, table.markdown(rows))
    if as_json:
        print_json({"families": [row.as_json() for row in rows]})
    elif markdown:
        print_lines(table.markdown(rows).rstrip("\n"))
    else:
        print_table("families", table.HEADER, [table.cells(row) for row in rows])
        for row in rows:
            for column, problem in row.problems.items():
                print_lines(f"{row.model_type}, {column}: {problem}")
    if not all(row.is_whole for row in rows):
        raise typer.Exit(1)
