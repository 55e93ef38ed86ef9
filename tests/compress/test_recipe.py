"""Recipes: the built-in ones, files and mappings, and what a mistake is answered with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from honed.compress.builtin_recipes import RECIPES
from honed.compress.recipe import Recipe, read_recipe
from honed.errors import FormatError, ParameterError, SourceError

BASE: dict[str, Any] = {"pass": "round_to_nearest", "weights": {"bits": 8, "group": 32}}


def recipe(**changes: Any) -> dict[str, Any]:
    return {"passes": [{**BASE, **changes}]}


@pytest.mark.parametrize("name", list(RECIPES))
def test_built_in_recipes_are_valid_and_survive_json(name: str) -> None:
    found = read_recipe(name)
    assert read_recipe(json.loads(json.dumps(found.as_json()))) == found


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(recipe(activations={"group": 32})))
    assert read_recipe(path) == read_recipe(str(path)) == read_recipe(recipe(activations={"group": 32}))


def test_an_override_says_whether_the_head_is_encoded() -> None:
    assert read_recipe(recipe()).encodes("lm_head")
    dense = read_recipe(recipe(overrides=[{"modules": "lm_*", "setting": "dense"}]))
    assert not dense.encodes("lm_head")
    assert dense.encodes("model.layers.0.mlp.down_proj")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (recipe(weigths={"bits": 8}), r"recipe\.passes\[0\]\.weigths = .*did you mean 'weights'"),
        (recipe(weights={"bits": 8, "grup": 32}), r"passes\[0\]\.weights\.grup = 32.*did you mean 'group'"),
        (recipe(weights={"bits": 5}), r"weights\.bits = 5"),
        (recipe(weights={"bits": 8, "group": 48}), r"weights\.group = 48"),
        (recipe(weights={"bits": "8"}), r"weights\.bits = '8'"),
        (recipe(weights={"bits": 4, "group": None}), "need a group"),
        (recipe(weights={"bits": 8, "offset": "minimum"}), "8-bit weights are symmetric"),
        (recipe(weights={"bits": 8, "search": True}), "search is for 4 bits"),
        (recipe(weights={"bits": 4, "sparse": 0.5}), "sparse is for 8 bits in groups"),
        (recipe(weights={"bits": 8, "group": None, "sparse": 0.5}), "sparse is for 8 bits in groups"),
        (recipe(weights={"bits": 8, "sparse": 1.5}), r"weights\.sparse = 1.5"),
        (
            {"passes": [{"pass": "gptq", "weights": {"bits": 8, "sparse": 0.5}}]},
            r"weights\.sparse needs round_to_nearest",
        ),
        (recipe(weights={"bits": 8, "codebook": "linear"}), "a codebook is for 4 bits"),
        (recipe(weights={"bits": 4, "codebook": "linear", "offset": "minimum"}), "takes no offset"),
        (recipe(weights={"bits": 4, "codebook": "nf4"}), r"weights\.codebook = 'nf4'.*normal_float"),
        (recipe(activations={"group": 64}), r"activations\.group 64 must be null or equal weights\.group 32"),
        (recipe(overrides=[{"modules": "", "setting": "dense"}]), r"overrides\[0\]\.modules"),
        (recipe(overrides=[{"modules": "x", "setting": "dens"}]), r"overrides\[0\]\.setting"),
        ({"passes": []}, r"recipe\.passes"),
        ({"passes": [{**BASE, "pass": "gptx"}]}, r"passes\[0\]\.pass = 'gptx'.*round_to_nearest"),
        ({"passes": [{}]}, r"passes\[0\]\.pass = None"),
        ({"passes": [BASE, {"pass": "smooth"}]}, "round_to_nearest must be the last pass"),
        ({"passes": [BASE, BASE]}, "the last pass, and there once"),
        ({"passes": [{"pass": "smooth", "strength": 1.0}, BASE]}, r"passes\[0\]\.strength = 1\.0"),
        ({"passes": [{"pass": "smooth", "junctions": "heads"}, BASE]}, r"passes\[0\]\.junctions = 'heads'"),
        ({}, r"recipe\.passes"),
        ({"passes": {1, 2}}, "form of JSON"),
    ],
)
def test_mistakes_name_the_field(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_recipe(value)


def test_names_and_files_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"recipe = 'itn8': .*did you mean 'int8'"):
        read_recipe("itn8")
    with pytest.raises(SourceError, match="cannot be read"):
        read_recipe(tmp_path / "none.json")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(FormatError, match=r"bad\.json: JSON: is not JSON"):
        read_recipe(bad)
    bad.write_text("[" * 100_000)
    with pytest.raises(FormatError, match="too many values"):
        read_recipe(bad)
    bad.write_text("[1]")
    with pytest.raises(FormatError, match=r"bad\.json: JSON: must be an object"):
        read_recipe(bad)


@pytest.mark.timeout(20)
def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(SourceError, match="is a named pipe"):
        read_recipe(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is a device"):
        read_recipe(tmp_path / "zero.json")
    (tmp_path / "large.json").write_text('{"passes": [' + "{}," * 60_000 + "1]}")
    with pytest.raises(FormatError, match="too many values"):
        read_recipe(tmp_path / "large.json")


def test_a_recipe_cannot_be_changed() -> None:
    found = read_recipe("int8")
    assert read_recipe(found) is found
    with pytest.raises(ValueError, match="frozen"):
        found.passes[0].kind = "other"
    assert isinstance(found, Recipe)
