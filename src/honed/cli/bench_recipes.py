"""`honed bench-recipes`: what each recipe does to a model, in one table, one plot and one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honed.cli.output import print_json, print_table
from honed.cli.progress import progress


def bench_recipes(
    model: Annotated[str, typer.Argument(help="A model that generates, as of `honed compress`.")] = "smollm2",
    *,
    recipes: Annotated[
        str | None, typer.Option(help="Some of the built-in ones, with commas between. [default: all]")
    ] = None,
    files: Annotated[
        str, typer.Option(help="Types of llama.cpp's quantizer, with commas between; all, or none.")
    ] = "none",
    tokens: Annotated[int, typer.Option(help="Of text to judge quality on.")] = 32768,
    calibration_tokens: Annotated[
        int | None, typer.Option(help="For recipes that learn in detail. [default: as each says]")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(help="Length of the prompt.")] = 512,
    new_tokens: Annotated[int, typer.Option(help="Tokens decoded after it.")] = 64,
    threads: Annotated[int | None, typer.Option(help="[default: the CPUs that this process may use]")] = None,
    runs: Annotated[int, typer.Option(help="Processes started for each speed.")] = 3,
    again: Annotated[bool, typer.Option("--again", help="Also what is in the results already.")] = False,
    folder: Annotated[Path, typer.Option(help="Where artifacts are made.")] = Path("out/bench-recipes"),
    out: Annotated[Path, typer.Option(help="Results as JSON, read and written after each recipe.")] = Path(
        "out/bench-recipes/recipes.json"
    ),
    page: Annotated[Path | None, typer.Option(help="Also write them as a Markdown page.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw divergence over size, as SVG.")] = None,
    into: Annotated[Path | None, typer.Option(help="A document that shows the short table, to be updated.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Also write what `honed recipes` shows, as JSON.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make the built-in recipes' artifacts of a model, and measure size, quality, speed, and what it takes to make
    them.

    Goes on where an earlier run ended. Everything is made in --folder, which is not removed.
    """
    import os

    from honed.api import bench_recipes as bench
    from honed.api.marked_table import Marks
    from honed.bench.peers.llama_cpp_quantizer import TYPES
    from honed.bench.recipe_page import HEADER, cells, short_table
    from honed.bench.recipe_page import page as whole_page
    from honed.bench.recipe_plot import svg
    from honed.bench.workload import Workload
    from honed.cli.report_files import check_directory, check_files, write_text
    from honed.compress.builtin_recipes import RECIPES
    from honed.errors import MachineError
    from honed.evaluate.store import write_json
    from honed.native import extension
    from honed.parameters import whole_number

    check_directory("--folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_files({"--out": out, "--page": page, "--plot": plot, "--summary": summary})
    marks = Marks("recipes", BEGIN, END)
    if into is not None:
        marks.shown_in(into.read_text("utf-8"), into)
    asked = bench.RecipeBench(
        model=model,
        recipes=list(RECIPES) if recipes is None else _names(recipes),
        files={"all": list(TYPES), "none": []}.get(files, _names(files)),
        workload=Workload(prompt_tokens, new_tokens, threads or extension.default_threads(), runs),
        folder=folder,
        results=out,
        tokens=whole_number("tokens", tokens, 64, 1 << 24),
        calibration_tokens=calibration_tokens,
        again=again,
    )
    with progress() as report:
        found = bench.bench_recipes(asked, report)
    if page is not None:
        write_text(page, whole_page(found, None if plot is None else os.path.relpath(plot, page.parent)))
    if plot is not None:
        write_text(plot, svg(found))
    if into is not None:
        marks.put_into(into, short_table(found))
    if summary is not None:
        write_json(summary, bench.summary(found))
    if json:
        print_json(found.to_json())
    else:
        print_table(f"recipes on {model}", HEADER, [cells(row) for row in found.rows])
    names = {*asked.recipes, *asked.files}
    failed = [f"{row.name}: {row.failed}" for row in found.rows if row.failed is not None and row.name in names]
    if failed:
        raise MachineError(f"not measured: {'; '.join(failed)}")


BEGIN = "<!-- recipes: what `honed bench-recipes --into` writes -->"
END = "<!-- end of recipes -->"


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
