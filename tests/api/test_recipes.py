"""What is told of the built-in recipes: all of them, what was measured and what was not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from honed.api.recipes import Measured, list_recipes, recipe_text
from honed.compress.builtin_recipes import RECIPES
from honed.compress.recipe import read_recipe
from honed.errors import ParameterError

ROW = Measured("smollm2", 97_000_000, 270_000_000, 5.1, 0.003, 0.0028, 0.0032, 2.5, 1.9)


def test_each_is_there_with_its_passes(tmp_path: Path) -> None:
    found = list_recipes(tmp_path / "none.json")
    assert [recipe.name for recipe in found] == list(RECIPES)
    by_name = {recipe.name: recipe for recipe in found}
    assert (by_name["int4-gptq"].passes, by_name["int4-gptq"].bits) == (("smooth", "gptq"), 4)
    assert all(recipe.measured is None for recipe in found)


def test_figures_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text(json.dumps({"int4": asdict(ROW), "gone": asdict(ROW)}))
    found = {recipe.name: recipe.measured for recipe in list_recipes(tmp_path / "measured.json")}
    assert found["int4"] == ROW
    assert found["int8"] is None
    assert "gone" not in found


def test_the_file_that_is_shipped_can_be_read() -> None:
    assert len(list_recipes()) == len(RECIPES)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_text_of_a_recipe_is_the_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_text(name))
    assert read_recipe(path) == read_recipe(name)
    assert path.read_text().startswith(f"# {name}: ")
    edited = tmp_path / "edited.yml"
    text = path.read_text()
    right, wrong = ("group: 32", "grup: 32") if "group: 32" in text else ("share: ", "shar: ")
    edited.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ParameterError, match=f"did you mean '{right.partition(':')[0]}'"):
        read_recipe(edited)


def test_an_unknown_one_is_answered_as_compress_does() -> None:
    with pytest.raises(ParameterError, match="did you mean 'int4'"):
        recipe_text("int44")
