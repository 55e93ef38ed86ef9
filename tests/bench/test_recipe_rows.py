"""Rows survive their file, and a file of something else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.bench.recipe_rows import LLAMA, OWN, Quality, RecipeResults, RecipeRow, Speed, read_results
from honed.errors import FormatError

QUALITY = Quality((0.003, 0.002, 0.004), (0.97, 0.96, 0.98), (14.8, 14.1, 15.2), 14.7, 4096)
SPEED = Speed(1000.0, 80.0, 2.0, 2.5, 1.1, 1.2, 3)
ROW = RecipeRow("int4", OWN, "d", 97_000_000, 5.7, 12.5, 600_000_000, QUALITY, SPEED)
FILE = RecipeRow("Q4_0", LLAMA, "e", 90_000_000, 5.3, quality=QUALITY)
FAILED = RecipeRow("nf4", OWN, "f", failed="no memory")
RESULTS = RecipeResults({"model": "m"}, (ROW, FILE, FAILED))


def test_rows_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RESULTS.to_json()))
    assert read_results(path) == RESULTS
    assert read_results(tmp_path / "none.json").rows == ()


def test_a_row_takes_the_place_of_the_one_of_its_name() -> None:
    again = RecipeRow("int4", OWN, "other")
    assert RESULTS.with_row(again).rows == (again, FILE, FAILED)
    new = RecipeRow("int4", LLAMA, "x")
    assert RESULTS.with_row(new).rows == (ROW, FILE, FAILED, new)
    assert RESULTS.find(LLAMA, "Q4_0") == FILE
    assert RESULTS.find(OWN, "Q4_0") is None


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"rows": [], "about": 3, "x": 1}', '{"about": {}, "rows": [{"name": 1}]}']
)
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    if '"rows": []' in text:
        assert read_results(path).rows == ()
        return
    with pytest.raises(FormatError, match="are not those of bench-recipes"):
        read_results(path)
