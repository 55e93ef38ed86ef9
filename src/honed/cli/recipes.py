"""`honed recipes`: what `compress --recipe` may be given, and what each did to the demo model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli.output import print_json, print_line, print_lines, print_table

if TYPE_CHECKING:
    from honed.api.recipes import RecipeSummary

HEADER = ("recipe", "bits", "size", "KL", "decode", "prefill", "what it does")


def recipes(
    name: Annotated[str | None, typer.Argument(help="One of them, to be printed whole as YAML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the built-in recipes, or print one that can be saved, edited and given to compress --recipe."""
    from honed.api.recipes import list_recipes, recipe_text
    from honed.compress.recipe import read_recipe

    if name is not None:
        if as_json:
            print_json(read_recipe(name).as_json())
        else:
            print_lines(recipe_text(name).rstrip("\n"))
        return
    found = list_recipes()
    if as_json:
        print_json({"recipes": [recipe.as_json() for recipe in found]})
        return
    print_table("recipes", HEADER, [_cells(recipe) for recipe in found])
    models = {recipe.measured.model for recipe in found if recipe.measured is not None}
    if models:
        print_line(
            f"measured on {', '.join(sorted(models))}: weights in MB and bits, mean KL divergence on text that no "
            "recipe saw, speeds as multiples of bfloat16"
        )
    missing = [recipe.name for recipe in found if recipe.measured is None]
    if missing:
        print_line(f"not measured yet: {', '.join(missing)}; honed bench-recipes does it")


def _cells(recipe: RecipeSummary) -> list[str]:
    bits = "dense" if recipe.bits is None else str(recipe.bits)
    found = recipe.measured
    figures = ["-"] * 4
    if found is not None:
        figures = [
            f"{found.bytes / 1e6:.0f} MB, {found.bits_per_weight:.2f} bits",
            f"{found.kl:.4f}",
            f"{found.decode:.2f}x",
            f"{found.prefill:.2f}x",
        ]
    return [recipe.name, bits, *figures, recipe.description]
