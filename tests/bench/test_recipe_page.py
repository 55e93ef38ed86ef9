"""The table has every figure of a row, a dash for what was not measured, and the reason where something failed."""

from __future__ import annotations

from honed.bench.recipe_page import HEADER, cells, page, short_table
from honed.bench.recipe_rows import RecipeResults, RecipeRow
from recipe_results import FAILED, FILE, RESULTS, ROW


def test_cells_are_the_figures() -> None:
    assert dict(zip(HEADER, cells(ROW), strict=False))["KL (95 % interval)"] == "0.00300 (0.00200 to 0.00400)"
    assert cells(ROW)[:3] == ["int4", "97 MB", "5.70"]
    assert cells(ROW)[4:] == [
        *("97.00%", "14.800", "1000", "2.00x", "1.10x", "80", "2.50x", "1.20x", "12 s", "600 MB"),
    ]
    assert len(cells(FAILED)) == len(cells(RecipeRow("x", "honed", ""))) == len(HEADER)
    assert cells(FAILED)[1] == "failed: no memory"
    assert cells(FILE)[6:] == ["-"] * 8


def test_the_page_tells_files_of_llama_cpp_apart_and_names_the_picture() -> None:
    text = page(RESULTS, "recipes.svg")
    recipes, files = text.split("## Files of llama.cpp's quantizer")
    assert "| int4 |" in recipes
    assert "](recipes.svg)" in recipes
    assert "| Q4_0 | 90 MB | 5.30 |" in files
    assert "Q4_0" not in recipes
    assert "llama.cpp's quantizer" not in page(RecipeResults(RESULTS.about, (ROW,)), None)


def test_the_short_table_has_what_was_measured_of_recipes() -> None:
    lines = short_table(RESULTS).splitlines()
    assert lines[2:] == ["| int4 | 97 MB | 5.70 | 0.0030 | 97.00% | 2.00x | 2.50x |"]
