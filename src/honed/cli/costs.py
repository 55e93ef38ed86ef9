"""`honed costs`: what a linear layer takes on this machine, in each way to store it."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from honed.cli.output import print_json, print_table
from honed.errors import ParameterError

SHAPES = "1536x576,576x1536"
ROWS = "1,16,512"
_SHAPE = re.compile(r"([1-9][0-9]{0,7})x([1-9][0-9]{0,7})")


def costs(
    shapes: Annotated[str, typer.Option(help="Layers: out x in features of each, with commas between.")] = SHAPES,
    rows: Annotated[str, typer.Option(help="Rows: 1 is decoding, 16 a batch, 512 a prompt.")] = ROWS,
    threads: Annotated[int | None, typer.Option(help="Threads; all allowed CPUs if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a linear layer takes on this machine, in microseconds, in each way to store it.

    Each time is measured when it is first asked for, and kept in the cache.
    """
    from honed.backends.native_costs import open_costs
    from honed.backends.options import check_threads
    from honed.encodings.codebook import TABLES
    from honed.encodings.dense import DenseFormat
    from honed.encodings.descriptor import Format
    from honed.encodings.groups import GROUPS
    from honed.encodings.scheme import CodebookScheme, Int4Scheme, Int8Scheme

    asked = [_shape(text) for text in shapes.split(",")]
    counts = [_count(text) for text in rows.split(",")]
    forms: list[Format] = [DenseFormat("bfloat16"), Int8Scheme(None, None)]
    for group in GROUPS:
        forms += [
            Int8Scheme(group, group),
            Int4Scheme(group, "symmetric", group),
            Int4Scheme(group, "zero_point", group),
            CodebookScheme(group, TABLES["normal_float"], group),
        ]
    table = open_costs(check_threads(threads))
    found = [
        (f"{shape[0]}x{shape[1]}", str(form), [1e6 * table.of(shape, form, count) for count in counts])
        for shape in asked
        for form in forms
    ]
    machine = table.machine
    if as_json:
        layers = [
            {"shape": shape, "form": form, "us": dict(zip(map(str, counts), times, strict=True))}
            for shape, form, times in found
        ]
        print_json({"cpu": machine.cpu, "isa": machine.isa, "threads": machine.threads, "layers": layers})
        return
    print_table(
        f"microseconds of a layer: {machine.cpu}, {machine.isa}, {machine.threads} threads",
        ["layer", "form", *(f"{count} rows" if count > 1 else "1 row" for count in counts)],
        [[shape, form, *(f"{us:.1f}" for us in times)] for shape, form, times in found],
    )


def _shape(text: str) -> tuple[int, int]:
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise ParameterError("shapes", text, "must be out features x in features, such as 1536x576")
    return int(found[1]), int(found[2])


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()):
        raise ParameterError("rows", text, "must be whole numbers from 1 to 65536, with commas between")
    return int(text)
