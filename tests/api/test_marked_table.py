"""A table is replaced between its lines and nothing beside it; a document without the lines is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.api.marked_table import Marks
from honed.cli.bench_recipes import BEGIN, END
from honed.errors import FormatError

MARKS = Marks("recipes", BEGIN, END)
README = Path(__file__).parents[2] / "README.md"


def test_what_is_between_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n")
    MARKS.put_into(path, "| new |\n")
    assert path.read_text() == f"before\n{BEGIN}\n| new |\n{END}\nbehind\n"
    assert MARKS.shown_in(path.read_text(), path) == "| new |\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{BEGIN}\nold", f"{END}\n{BEGIN}\n"])
def test_a_document_without_a_place_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(text)
    with pytest.raises(FormatError, match="recipes: there are no lines"):
        MARKS.put_into(path, "x")
    assert path.read_text() == text


def test_the_readme_has_a_place_for_the_recipes() -> None:
    MARKS.shown_in(README.read_text(), README)
