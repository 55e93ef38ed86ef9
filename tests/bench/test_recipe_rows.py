"""Rows survive their file, and a file of something else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honed.bench.recipe_rows import LLAMA, OWN, RecipeRow, read_results
from honed.errors import FormatError
from recipe_results import FAILED, FILE, RESULTS, ROW


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
